import { assertEquals, assertStringIncludes } from "@std/assert";
import { examine } from "../../../core/cli/doctor.ts";
import { landlockAbi } from "../../../core/sandbox/landlock.ts";
import { hasSeccomp } from "../../../core/sandbox/seccomp.ts";
import { withFolder } from "../../support/folder.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

Deno.test("doctor says what the kernel can refuse a process", () => {
  const find = (name: string) => examine().find(({ check }) => check === name);
  const landlock = find("Landlock")!;
  assertEquals(landlock.state, landlockAbi() >= 6 ? "ok" : "warning");
  assertEquals(landlock.remedy === undefined, landlock.state === "ok");
  assertEquals(find("seccomp")!.state, hasSeccomp() ? "ok" : "warning");
});

/** What doctor says of workers' permissions where it is started with these flags. */
async function workersWith(flags: readonly string[]): Promise<unknown> {
  const { imports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  return await withFolder(async (folder) => {
    const config = `${folder}/deno.json`;
    await Deno.writeTextFile(config, JSON.stringify({ imports }));
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        "--no-lock",
        ...flags.map((flag) => flag.replace("CONFIG", config)),
        `${ROOT}main.ts`,
        "doctor",
        "--json",
      ],
    }).output();
    const findings: { check: string; state: string }[] = JSON.parse(
      new TextDecoder().decode(stdout),
    );
    return findings.find(({ check }) => check === "worker permissions")?.state;
  });
}

Deno.test("doctor says whether workers can have permissions of their own", async () => {
  assertEquals(await workersWith([]), "ok");
  const bare = "--config=CONFIG";
  assertEquals(await workersWith([bare, "--unstable-worker-options"]), "ok");
  assertEquals(await workersWith([bare]), "failed");
});

Deno.test("doctor names the lab where KVM cannot run Linux", () => {
  const mode = examine().find(({ check }) => check === "guest kernel mode");
  if (mode?.state !== "warning") return;
  assertStringIncludes(mode.remedy!, "deno task start");
});
