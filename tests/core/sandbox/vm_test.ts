import { assert, assertEquals } from "@std/assert";
import { loadManifest } from "../../../core/manifest/load.ts";
import {
  denoFlags,
  vmPermissions,
  vmRules,
} from "../../../core/sandbox/vm_permissions.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { whyNoKvm } from "../../kvm/host.ts";
import { withFolder } from "../../support/folder.ts";
import { spawnConfined } from "../../../core/sandbox/spawn.ts";
import type { Targets } from "./attacks.ts";
import { CLOSED } from "../../../core/sandbox/seccomp_filter.ts";
import { assertTold, withTargets } from "./targets.ts";
import { beside, here, sandboxTest } from "./host.ts";

const GUEST = new URL("../../guests/hello/", import.meta.url);

/** A manifest of the small guest, in a folder of its own. */
async function copyGuest(folder: string): Promise<string> {
  for (const name of ["vm.json", "hello.elf"]) {
    await Deno.copyFile(new URL(name, GUEST), `${folder}/${name}`);
  }
  await Deno.writeFile(`${folder}/disk.img`, new Uint8Array(2 ** 20));
  return `${folder}/vm.json`;
}

const kvmTest = (name: string, test: () => Promise<void>) =>
  whyNoKvm() === null
    ? sandboxTest(name, test)
    : Deno.test.ignore(`${name} (skipped: ${whyNoKvm()})`, test);

/**
 * Runs the guest in a process that has what its manifest grants. With targets it is taken over once it has loaded, and
 * its owner is told of `attempts`.
 */
async function runGuest(
  folder: string,
  targets?: Targets,
  attempts: string[] = [],
) {
  const manifest = await copyGuest(folder);
  const config = loadManifest(manifest, builtInDevices);
  const allowed = vmPermissions(config, { manifest, cache: undefined });
  const loaded = Promise.withResolvers<void>();
  await using child = await spawnConfined({
    sandbox: "strict",
    entry: beside("vm_process.ts"),
    args: [JSON.stringify(config), ...targets ? [JSON.stringify(targets)] : []],
    permissions: denoFlags(allowed),
    landlock: { ...vmRules(allowed), read: [...allowed.read, here] },
    seccomp: { ...CLOSED, paths: true },
    audit: {
      granted: { ...allowed, read: [...allowed.read, here] },
      loaded: loaded.promise,
      onRefused: (attempt) => attempts.push(attempt),
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  const stderr = new Response(child.stderr).text();
  const input = child.stdin!.getWriter();
  let stdout = "";
  for await (const text of child.stdout!.pipeThrough(new TextDecoderStream())) {
    if (stdout === "") {
      loaded.resolve();
      await loaded.promise;
      await input.write(new Uint8Array(1));
    }
    stdout += text;
  }
  const { code } = await child.status;
  return { stdout, stderr: await stderr, code };
}

kvmTest("A VM runs in a strict process, with all three devices", async () => {
  await withFolder(async (folder) => {
    const { stdout, stderr, code } = await runGuest(folder);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    assert(stdout.includes("sector 2047 written and verified"), stdout);
    assert(stdout.endsWith("Goodbye\npoweroff"), stdout);
  });
});

kvmTest(
  "A VM's process that is taken over is refused each attack, its owner is told, and the guest goes on",
  async () => {
    await withFolder(async (folder) => {
      await withTargets(async (targets) => {
        const attempts: string[] = [];
        const { stdout, stderr, code } = await runGuest(
          folder,
          targets,
          attempts,
        );
        assertEquals({ code, stderr }, { code: 0, stderr: "" });
        const results = JSON.parse(/^\{.*\}$/m.exec(stdout)![0]);
        const done = Object.keys(results)
          .filter((name) => results[name] === "done");
        assertEquals(done, ["read its command line"]);
        assertTold(attempts, targets);
        assert(stdout.includes("sector 2047 written and verified"), stdout);
        assert(stdout.endsWith("Goodbye\npoweroff"), stdout);
      });
    });
  },
);
