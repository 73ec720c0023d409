// Has both sides of the ring benchmark serve a few chains: they must have done the same.
import { assertEquals } from "@std/assert";
import { compile, denoCommand, noCompiler, output } from "../paddock.ts";

const CHAINS = 1000;
const SIDE = new URL("../ring_side.ts", import.meta.url).pathname;
const ignore = await noCompiler() !== undefined;

for (const format of ["split", "packed"]) {
  for (const shape of ["1", "3", "table"]) {
    Deno.test({
      name: `ring_loop does what Paddock does: ${format}, ${shape}`,
      ignore,
      async fn() {
        const folder = await Deno.makeTempDir();
        try {
          const loop = await compile("ring_loop", folder);
          const args = [format, shape, `${CHAINS}`];
          const c = JSON.parse(await output(new Deno.Command(loop, { args })));
          const paddock = JSON.parse(
            await output(denoCommand(SIDE, ...args)),
          );
          assertEquals(paddock.chains, c.chains);
          assertEquals(paddock.sum, c.sum);
          assertEquals(c.sum > CHAINS * 512, true);
        } finally {
          await Deno.remove(folder, { recursive: true });
        }
      },
    });
  }
}
