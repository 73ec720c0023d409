import { assert, assertEquals, assertRejects } from "@std/assert";
import { pipe } from "../../../core/sandbox/child.ts";
import {
  type ConfinedOptions,
  spawnConfined,
} from "../../../core/sandbox/spawn.ts";
import type { SandboxLevel } from "../../../core/sandbox/walls.ts";
import { CLOSED } from "../../../core/sandbox/seccomp_filter.ts";
import { NOTHING } from "../../support/permissions.ts";
import { libc } from "../../../core/sys/libc.ts";
import { withFolder } from "../../support/folder.ts";
import { closedAgain, openFds } from "../../support/open_fds.ts";
import { beside, here, runChild, sandboxTest } from "./host.ts";

const LEVELS: readonly SandboxLevel[] = ["off", "deno", "strict"];
const MiB = 2 ** 20;

function child(
  sandbox: SandboxLevel,
  args: readonly string[],
  more: Partial<ConfinedOptions> = {},
): ConfinedOptions {
  return {
    sandbox,
    entry: beside("child_process.ts"),
    args,
    permissions: ["--allow-ffi"],
    landlock: { read: [here] },
    ...more,
  };
}

for (const level of LEVELS) {
  sandboxTest(
    `A ${level} child talks through its pipes, and ends with its status`,
    async () => {
      await using echo = await spawnConfined(
        child(level, ["echo"], { stdin: "piped", stdout: "piped" }),
      );
      const writer = echo.stdin!.getWriter();
      await writer.write(new TextEncoder().encode("there and back"));
      await writer.close();
      assertEquals(await new Response(echo.stdout).text(), "there and back");
      assertEquals(await echo.status, { success: true, code: 0, signal: null });
      assertEquals(echo.missing, []);
      const { code } = await runChild(child(level, ["exit", "7"]));
      assertEquals(code, 7);
    },
  );

  sandboxTest(
    `A ${level} child has the fds it is given, as 3 and up, and they stay open here`,
    async () => {
      const { read, write } = pipe();
      using _ = read;
      using _write = write;
      const options = { fds: [write.fd], stderr: "null" } as const;
      await runChild(child(level, ["write", "3"], options));
      const bytes = new Uint8Array(8);
      assertEquals(libc.read(read.fd, bytes, 8), 2);
      assertEquals(bytes.subarray(0, 2), new TextEncoder().encode("hi"));
      assertEquals(libc.write(write.fd, bytes, 1), 1);
    },
  );

  sandboxTest(`A ${level} child starts workers`, async () => {
    const { stdout } = await runChild(child(level, ["worker"]));
    assertEquals(stdout, "started");
  });
}

sandboxTest("A child has no other fds and no other environment", async () => {
  const { read, write } = pipe();
  using _ = read;
  using _write = write;
  // stdout and stderr; 3 is what it is given.
  const fds = await runChild(child("off", ["fds"], { fds: [read.fd] }));
  assertEquals(fds.stdout.split(",").filter((fd) => Number(fd) < 10), [
    "1",
    "2",
    "3",
  ]);
  const env = { MINE: "1" };
  const { stdout } = await runChild(child("off", ["environment"], { env }));
  // Deno makes itself a PATH.
  const names = Object.keys(JSON.parse(stdout)).filter((name) =>
    !/^(DENO_\w+|NPM_CONFIG_REGISTRY|PATH)$/.test(name)
  );
  assertEquals(names, ["MINE"]);
});

sandboxTest(
  "Fds may be given in any order, also those that are targets themselves",
  async () => {
    const pipes = [pipe(), pipe(), pipe()];
    const fds = pipes.map(({ write }) => write.fd).reverse();
    await runChild(child("deno", ["write", "3"], { fds }));
    const bytes = new Uint8Array(8);
    assertEquals(libc.read(pipes[2]!.read.fd, bytes, 8), 2);
    for (const { read, write } of pipes) {
      read.close();
      write.close();
    }
  },
);

sandboxTest(
  "What a child inherits does not go on to the programs that it starts",
  async () => {
    const { read, write } = pipe();
    using _ = read;
    using _write = write;
    const options: Partial<ConfinedOptions> = {
      fds: [write.fd],
      permissions: ["--allow-ffi", "--allow-run=/bin/sh"],
      audit: {
        granted: { read: [], write: [], net: [], env: [], run: [], import: [] },
        onRefused: () => {},
      },
    };
    const { stdout } = await runChild(child("deno", ["program"], options));
    // Standard input, output and errors, and the folder that the shell reads; and no variable.
    assertEquals(stdout.replaceAll("/proc/self/fd/", ""), "0 1 2 3");
  },
);

sandboxTest("A child's memory is bounded, typed arrays included", async () => {
  const memory = { bytes: 128 * MiB, workers: 1 };
  const { stdout, code } = await runChild(
    child("strict", ["allocate"], { memory }),
  );
  // A RangeError, where the last of it does not fall to V8 itself, which gives up.
  assert(code === 0 ? stdout.endsWith("RangeError") : code > 128, stdout);
  const size = 8 * stdout.lastIndexOf(".");
  assert(size >= 64 && size < 192, `${size} MiB`);
  const free = await runChild(child("strict", ["allocate"]));
  assertEquals(free.stdout, ".".repeat(32));
  const grown = await runChild(child("strict", ["grow"], { memory }));
  assert(grown.code > 128, `ended with ${grown.code}`);
});

sandboxTest("A child connects to the TCP ports that are granted", async () => {
  using granted = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const ports = [granted, other].map(({ addr }) => (addr as Deno.NetAddr).port);
  const options = {
    permissions: ["--allow-ffi", "--allow-net"],
    landlock: { read: [here], connect: [ports[0]!] },
    seccomp: { ...CLOSED, sockets: "inet" },
  } as const;
  const args = ["connect", ...ports.map(String)];
  const { stdout } = await runChild(child("strict", args, options));
  assertEquals(stdout, "connected,PermissionDenied");
});

sandboxTest("A grant on what does not exist is told", async () => {
  const landlock = { read: [here, "/nowhere/to/be/found"] };
  const { child: ended } = await runChild(
    child("strict", ["exit", "0"], { landlock }),
  );
  assertEquals(ended.missing, [
    "read of /nowhere/to/be/found is not granted: no such file",
  ]);
});

sandboxTest("Starting a child confines nobody else", async () => {
  await withFolder(async (folder) => {
    await runChild(child("strict", ["exit", "0"]));
    await Deno.writeTextFile(`${folder}/file`, "free");
    const { stdout } = await new Deno.Command("/bin/cat", {
      args: [`${folder}/file`, "/proc/self/status"],
    }).output();
    const text = new TextDecoder().decode(stdout);
    assert(text.startsWith("free"));
    assertEquals(/NoNewPrivs:\s+(\d)/.exec(text)?.[1], "0");
  });
});

sandboxTest("A child is killed, and ends when it is disposed of", async () => {
  const sleeper = await spawnConfined(child("strict", ["sleep"]));
  sleeper.kill();
  assertEquals(await sleeper.status, { success: false, code: 143, signal: 15 });
  sleeper.kill();
  const other = await spawnConfined(child("deno", ["sleep"]));
  await other[Symbol.asyncDispose]();
  assertEquals((await other.status).signal, 9);
});

sandboxTest(
  "A child ends when the process that started it is killed",
  async () => {
    await using parent = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", beside("parent_process.ts").pathname],
      stdout: "piped",
    }).spawn();
    const { value } = await parent.stdout.getReader().read();
    const pid = Number(new TextDecoder().decode(value));
    assert(Deno.statSync(`/proc/${pid}`).isDirectory);
    parent.kill("SIGKILL");
    await parent.status;
    for (let turn = 0; turn < 100; turn++) {
      if (!isRunning(pid)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    Deno.kill(pid, "SIGKILL");
    throw new Error("the child goes on");
  },
);

/** A zombie, which waits for some init to look at it, does not run. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

sandboxTest(
  "A child that has ended leaves no fd behind, also where its stdin was not closed",
  async () => {
    const cycle = async (level: SandboxLevel) => {
      const options = { stdin: "piped", stdout: "piped" } as const;
      const ended = await spawnConfined(child(level, ["exit", "0"], options));
      await new Response(ended.stdout).text();
      await ended.status;
    };
    for (const level of LEVELS) await cycle(level);
    const before = await openFds();
    for (const level of [...LEVELS, ...LEVELS]) await cycle(level);
    await closedAgain(before);
  },
);

sandboxTest(
  "A fd that is not open is an error, and nothing is started",
  async () => {
    await assertRejects(
      () => spawnConfined(child("strict", ["exit", "0"], { fds: [987] })),
      Error,
      "dup fd 987",
    );
  },
);

sandboxTest(
  "The listener is taken from a child that asks before it could pass it on",
  async () => {
    const attempts: string[] = [];
    const { stdout, code } = await runChild({
      ...child("strict", []),
      entry: beside("stuck_process.ts"),
      seccomp: { ...CLOSED, paths: true },
      audit: {
        granted: NOTHING,
        onRefused: (attempt) => attempts.push(attempt),
      },
    });
    assertEquals({ stdout, code }, { stdout: "went on, refused", code: 0 });
    assertEquals(attempts, [
      'tried read of "/etc/shadow", which is not granted',
    ]);
  },
);
