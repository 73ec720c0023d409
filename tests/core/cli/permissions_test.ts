import { assert, assertEquals, assertRejects } from "@std/assert";
import { permissions } from "../../../core/cli/permissions.ts";
import { ManifestError } from "../../../core/errors.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { whyNoKvm } from "../../kvm/host.ts";
import { withFolder } from "../../support/folder.ts";
import { capture } from "./capture.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;
/** Where devices with processes of their own are reached. */
const runs = `${Deno.env.get("TMPDIR") || "/tmp"}/paddock-${Deno.uid()}`;
const GLOBAL = { logLevel: "info", color: false } as const;

const print = (manifest: string | undefined, json: boolean) =>
  capture(() =>
    permissions(
      { ...GLOBAL, json, command: "permissions", manifest },
      builtInDevices,
    )
  );

/** A manifest with a disk, in `folder`. */
async function writeGuest(folder: string, more: object = {}): Promise<string> {
  await Deno.copyFile(`${ROOT}tests/guests/hello/hello.elf`, `${folder}/k`);
  await Deno.writeFile(`${folder}/disk`, new Uint8Array(2 ** 20));
  const manifest = {
    memory: "32M",
    boot: { kernel: "k" },
    devices: [{ use: "console" }, { use: "block", path: "disk" }, {
      use: "rng",
    }],
    ...more,
  };
  await Deno.writeTextFile(`${folder}/vm.json`, JSON.stringify(manifest));
  return `${folder}/vm.json`;
}

Deno.test("permissions prints the command for a shell", async () => {
  await withFolder(async (folder) => {
    const manifest = await writeGuest(folder);
    const { status, stdout } = await print(manifest, false);
    assertEquals(status, 0);
    assertEquals(
      stdout,
      `deno run --no-prompt --allow-ffi --allow-read=${ROOT}core/,${ROOT}devices/,${manifest},${folder}/k,${folder}/disk ` +
        `--allow-write=${folder}/disk ${ROOT}main.ts run --sandbox=off ${manifest}\n`,
    );
  });
});

Deno.test("permissions quotes for the shell, and doubles commas for Deno", async () => {
  await withFolder(async (folder) => {
    const odd = `${folder}/it's odd`;
    await Deno.mkdir(odd);
    const { stdout } = await print(await writeGuest(odd), false);
    const { stdout: words } = await new Deno.Command("sh", {
      args: ["-c", `printf '%s\\n' ${stdout}`],
    }).output();
    const write = new TextDecoder().decode(words).split("\n")
      .find((word) => word.startsWith("--allow-write="));
    assertEquals(write, `--allow-write=${folder}/it's odd/disk`);
  });
});

Deno.test("permissions --json gives what plugins are granted, and what the kernel's cache needs", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/device.ts`, "export default {};");
    await Deno.writeTextFile(`${folder}/data`, "");
    const devices = [{
      use: "./device.ts",
      permissions: { read: ["data"], net: ["example.org:443"], env: ["LANG"] },
    }];
    const manifest = await writeGuest(folder, { devices });
    const { stdout } = await print(manifest, true);
    const { command, permissions } = JSON.parse(stdout);
    assertEquals(permissions, {
      read: [
        `${ROOT}core/`,
        `${ROOT}devices/`,
        // The plugin's own, which holds the manifest and its data too.
        `${folder}/`,
        runs,
      ],
      write: [runs],
      net: ["example.org:443"],
      env: [
        "DENO_DIR",
        "XDG_CACHE_HOME",
        "HOME",
        "NPM_CONFIG_REGISTRY",
        "LANG",
      ],
      run: [Deno.execPath()],
      import: [],
    });
    assertEquals(command.slice(-4), [
      `${ROOT}main.ts`,
      "run",
      "--sandbox=off",
      manifest,
    ]);
    const debian = await writeGuest(folder, {
      boot: { use: "debian" },
      devices: [],
    });
    const { permissions: more } = JSON.parse(
      (await print(debian, true)).stdout,
    );
    assertEquals(more.env, ["PADDOCK_CACHE", "XDG_CACHE_HOME", "HOME"]);
    assertEquals(more.write, []);
  });
});

Deno.test("permissions refuses a manifest that is wrong", async () => {
  await assertRejects(
    () => print("/nowhere/vm.json", false),
    ManifestError,
    "does not exist",
  );
});

/** Whether the guest found and used all of its devices. */
async function runsWhole(command: readonly string[]): Promise<boolean> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: command.slice(1),
    stdin: "null",
    stderr: "null",
    signal: AbortSignal.timeout(30_000),
  }).output();
  const text = new TextDecoder().decode(stdout);
  return code === 0 && /written and verified\nrng: [^]*Goodbye\n$/.test(text);
}

/** The command with one value less, for each value of each flag. */
function withOneLess(command: readonly string[]): string[][] {
  return command.flatMap((word, index) => {
    const replace = (...words: string[]) =>
      command.toSpliced(index, 1, ...words);
    const [flag, list] = word.split("=");
    if (!flag!.startsWith("--allow-")) return [];
    const values = list?.split(",") ?? [];
    if (values.length < 2) return [replace()];
    return values.map((value) =>
      replace(`${flag}=${values.filter((other) => other !== value)}`)
    );
  });
}

Deno.test({
  name: "The command runs the manifest, and does not with any permission less",
  ignore: whyNoKvm() !== null,
  fn: async () => {
    await withFolder(async (folder) => {
      const manifest = await writeGuest(folder);
      const { stdout } = await print(manifest, true);
      const { command } = JSON.parse(stdout) as { command: string[] };
      assert(await runsWhole(command));
      const less = withOneLess(command);
      assertEquals(less.length, 7);
      for (const each of less) {
        assert(!await runsWhole(each), each.join(" "));
      }
    });
  },
});

Deno.test({
  name:
    "The command runs devices that have processes of their own, and makes the disk",
  ignore: whyNoKvm() !== null,
  fn: async () => {
    await withFolder(async (folder) => {
      const manifest = await writeGuest(folder, {
        devices: [
          { use: "console" },
          { use: "block", path: "new", size: "1M" },
          { use: `file://${ROOT}plugins/dice/mod.ts` },
        ],
      });
      const { stdout } = await print(manifest, true);
      const { command } = JSON.parse(stdout) as { command: string[] };
      assert(await runsWhole(command));
      assert(await runsWhole(command), "with the disk that there is now");
    });
  },
});
