// `paddock run` with small guests: exit statuses, signals, the terminal, and what is printed.

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { canRunLinux, probeKernelMode } from "../../core/arch/x86_64/probe.ts";
import { fetchKernel } from "../../core/image/debian.ts";
import { KvmSystem } from "../../core/kvm/system.ts";
import { hello, paddock, processesWith, readUntil, ROOT } from "./hello.ts";
import { withFolder } from "../support/folder.ts";
import { kvmTest, whyNoKvm } from "./host.ts";

async function writeManifest(
  folder: string,
  manifest: Record<string, unknown>,
): Promise<string> {
  const path = `${folder}/vm.json`;
  await Deno.writeTextFile(path, JSON.stringify(manifest));
  return path;
}

kvmTest(
  "paddock run exits with the status that --help gives for each ending",
  () =>
    withFolder(async (folder) => {
      using kvm = new KvmSystem();
      const refused = probeKernelMode(kvm).refused.includes("popcnt");
      const endings = [
        ["", 0, "the guest powered off"],
        ["exit=reboot", 3, "the guest rebooted"],
        ["exit=triple", 4, "triple fault"],
        ["exit=popcnt", refused ? 5 : 0, refused ? "paddock doctor" : ""],
        ["exit=panic", 6, "the guest's kernel panicked"],
      ] as const;
      for (const [cmdline, status, note] of endings) {
        const path = await writeManifest(folder, hello(cmdline));
        const { code, stdout, stderr } = await paddock(["run", path]);
        assertEquals(code, status, stderr);
        assertMatch(stdout, /^Hello from [^]*\nGoodbye\n$/);
        assertStringIncludes(stderr, note);
        assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
        assertEquals(processesWith(folder), []);
      }
    }),
);

for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  kvmTest(
    `${signal} ends paddock run with status ${status}, and leaves nothing behind`,
    () =>
      withFolder(async (folder) => {
        for (const ending of ["spin", "hang"]) {
          const disk = { use: "block", path: "disk.img", size: "1M" };
          const path = await writeManifest(
            folder,
            hello(`exit=${ending}`, [{ use: "console" }, disk]),
          );
          const { code } = await paddock(
            ["run", path],
            async (child, stdout) => {
              await readUntil(stdout, "Goodbye");
              child.kill(signal);
            },
          );
          assertEquals(code, status);
          assertEquals(processesWith(folder), []);
        }
      }),
  );
}

kvmTest(
  "paddock run --json ends with one event",
  () =>
    withFolder(async (folder) => {
      const path = await writeManifest(folder, hello("exit=reboot"));
      const { code, stderr } = await paddock(["run", "--json", path]);
      assertEquals(code, 3);
      assertEquals(JSON.parse(stderr), {
        event: "exit",
        reason: "reboot",
        detail: "the guest rebooted",
      });
    }),
);

kvmTest(
  "A manifest that is wrong is one line and status 2",
  () =>
    withFolder(async (folder) => {
      const path = await writeManifest(folder, { ...hello(), cpus: 0 });
      const { code, stdout, stderr } = await paddock([path]);
      assertEquals([code, stdout], [2, ""]);
      assertMatch(stderr, /^error: [^\n]*cpus[^\n]*\n$/);
    }),
);

kvmTest(
  "A guest goes on when nobody reads stdout any more",
  () =>
    withFolder(async (folder) => {
      const path = await writeManifest(folder, hello("serial exit=reboot"));
      const command =
        `"$0" run -A "$1"main.ts run "$2" | true; exit \${PIPESTATUS[0]}`;
      const { code } = await new Deno.Command("bash", {
        args: ["-c", command, Deno.execPath(), ROOT, path],
        stdin: "null",
        stderr: "null",
      }).output();
      assertEquals(code, 3);
    }),
);

kvmTest(
  "The library never prints, whatever happens",
  () =>
    withFolder(async (folder) => {
      await Deno.writeTextFile(
        `${folder}/broken.ts`,
        `export default () => { throw new Error("no"); };`,
      );
      const manifests = [
        hello(),
        hello("exit=triple", [{ use: "console" }, { use: "rng" }]),
        hello("exit=popcnt"),
        hello("exit=spin", [{ use: `${folder}/broken.ts` }]),
        { boot: { kernel: "/nowhere" } },
      ];
      const program = `
      import { Vm } from "${ROOT}core/mod.ts";
      for (const manifest of ${JSON.stringify(manifests)}) {
        const vm = await Vm.start(manifest).catch(() => null);
        const limit = setTimeout(() => vm?.kill(), 2000);
        await vm?.wait();
        clearTimeout(limit);
      }
      Deno.exit(7);`;
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["eval", `--config=${ROOT}deno.json`, program],
        cwd: folder,
      }).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assertEquals([text(stdout), text(stderr), code], ["", "", 7]);
    }),
);

for (const isolation of ["process", "worker"]) {
  kvmTest(
    `A device that cannot start in its ${isolation} is told once, and paddock run exits with status 7`,
    () =>
      withFolder(async (folder) => {
        await Deno.writeTextFile(
          `${folder}/broken.ts`,
          `export default { id: 4, queues: { requestq: 8 }, create() { throw new Error("no luck"); } };`,
        );
        const path = await writeManifest(
          folder,
          hello("", [{ use: "console" }, { use: "./broken.ts", isolation }]),
        );
        const { code, stdout, stderr } = await paddock(["run", path]);
        assertStringIncludes(stdout, "Goodbye");
        assertEquals(code, 7, stderr);
        assertStringIncludes(stderr, "error: broken0: no luck");
        assert(!stderr.includes("ENOENT"), stderr);
        assertMatch(
          stderr,
          /\npaddock: the guest powered off; broken0 could not start\n$/,
        );
      }),
  );
}

kvmTest(
  "paddock run says soon that this host cannot run Linux, where it cannot",
  () =>
    withFolder(async (folder) => {
      using kvm = new KvmSystem();
      if (canRunLinux(probeKernelMode(kvm))) return;
      // Downloads are not what is timed.
      await fetchKernel();
      const path = await writeManifest(folder, {
        devices: [{ use: "console" }],
      });
      const { code, stderr } = await paddock(["run", path]);
      assertEquals(code, 1, stderr);
      assertMatch(
        stderr,
        /^(Unp[^\n]+\n)?(Down[^\n]+\n)*paddock: this host's KVM [^\n]* cannot run Linux; [^\n]*start \S+vm\.json\n$/m,
      );
    }),
);

const script = "/usr/bin/script";
const why = whyNoKvm() ??
  (await Deno.stat(script).then(() => null, () => `there is no ${script}`));

Deno.test({
  name: `Ctrl-A x ends the VM and gives the terminal back${
    why === null ? "" : ` (skipped: ${why})`
  }`,
  ignore: why !== null,
  fn: () =>
    withFolder(async (folder) => {
      const path = await writeManifest(folder, hello("exit=spin"));
      const inside = `stty rows 30 cols 100; stty -a; ` +
        `"${Deno.execPath()}" run -A "${ROOT}main.ts" run "${path}"; ` +
        `echo "status $?"; stty -a`;
      const child = new Deno.Command(script, {
        args: ["-q", "-e", "-c", inside, "/dev/null"],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      const limit = setTimeout(() => child.kill("SIGKILL"), 20_000);
      const [watched, kept] = child.stdout.tee();
      const keys = child.stdin.getWriter();
      const type = async () => {
        await readUntil(watched, "Goodbye");
        // While the guest has the terminal, Ctrl-C is a key like any other.
        await keys.write(Uint8Array.of(3));
        await new Promise((next) => setTimeout(next, 200));
        await keys.write(new TextEncoder().encode("\x01x"));
      };
      const [text] = await Promise.all([new Response(kept).text(), type()]);
      clearTimeout(limit);
      await keys.close().catch(() => {});
      await child.status;
      assertStringIncludes(text, "\nstatus 0\r\n");
      const settings = text.split("speed ").slice(1).map((part) =>
        part.slice(0, part.indexOf("echoke") + 6)
      );
      assertEquals(settings.length, 2, text);
      assert(settings[0]!.includes(" icanon "), text);
      assertEquals(settings[1], settings[0]);
      assertEquals(processesWith(folder), []);
    }),
});
