// Builds the C benchmark VMM and has it count the exits of the hello guest, where there is a KVM.
import { assertEquals } from "@std/assert";

const here = import.meta.dirname!;
const ready = await usable("/dev/kvm") && await usable("/usr/bin/cc", false);

for (const mode of ["mmio", "mmio3"]) {
  Deno.test({
    name: `exit_loop counts the exits of bench=${mode}`,
    ignore: !ready,
    async fn() {
      const dir = await Deno.makeTempDir();
      try {
        const compile = [
          "-O2",
          "-Wall",
          "-Werror",
          "-o",
          `${dir}/exit_loop`,
          "exit_loop.c",
        ];
        assertEquals(await run("cc", compile), "");
        const guest = `${here}/../../guests/hello/hello.elf`;
        const result = JSON.parse(
          await run(`${dir}/exit_loop`, [guest, `bench=${mode}:500`]),
        );
        assertEquals(result.exits, 500);
        assertEquals(result.nsPerExit > 100 && result.nsPerExit < 1e6, true);
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    },
  });
}

async function run(command: string, args: string[]): Promise<string> {
  const signal = AbortSignal.timeout(20_000);
  const { stdout } = await new Deno.Command(command, {
    args,
    cwd: here,
    signal,
  }).output();
  return new TextDecoder().decode(stdout);
}

async function usable(path: string, write = true): Promise<boolean> {
  try {
    (await Deno.open(path, { read: true, write })).close();
    return true;
  } catch {
    return false;
  }
}
