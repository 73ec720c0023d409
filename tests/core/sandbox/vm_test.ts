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
import { beside, here, runChild, sandboxTest } from "./host.ts";

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

kvmTest("A VM runs in a strict process, with all three devices", async () => {
  await withFolder(async (folder) => {
    const manifest = await copyGuest(folder);
    const config = loadManifest(manifest, builtInDevices);
    const allowed = vmPermissions(config, { manifest, cache: undefined });
    const rules = vmRules(allowed);
    const { stdout, stderr, code } = await runChild({
      sandbox: "strict",
      entry: beside("vm_process.ts"),
      args: [manifest],
      permissions: denoFlags(allowed),
      landlock: {
        ...rules,
        read: [...allowed.read, here],
      },
      stdin: "null",
    });
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    assert(stdout.includes("sector 2047 written and verified"), stdout);
    assert(stdout.endsWith("Goodbye\npoweroff"), stdout);
  });
});
