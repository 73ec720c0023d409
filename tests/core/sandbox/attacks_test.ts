import { assertEquals } from "@std/assert";
import { closeVariable } from "../../../core/sandbox/closing.ts";
import type { ConfinedOptions } from "../../../core/sandbox/spawn.ts";
import { CLOSED } from "../../../core/sandbox/seccomp_filter.ts";
import type { Attack, Result, Targets } from "./attacks.ts";
import { assertTold, withTargets } from "./targets.ts";
import { beside, here, runChild, sandboxTest } from "./host.ts";

const EPERM = 1;
const EACCES = 13;
const ENOSYS = 38;
/** What a closed process of root's is told about others of root's. */
const LESS_ABLE = Deno.uid() === 0 ? EPERM : "done";

/** What comes of each attack: with Deno's permissions only, Landlock and dropped capabilities only, seccomp only, all. */
const EXPECTED: Readonly<
  Record<Attack, readonly [Result, Result, Result, Result]>
> = {
  "read /etc/shadow": ["done", EACCES, "done", EACCES],
  "write a file": ["done", EACCES, "done", EACCES],
  "list a folder": ["done", EACCES, "done", EACCES],
  "run a program": ["done", EACCES, EPERM, EPERM],
  "connect to a TCP port": ["done", EACCES, EPERM, EPERM],
  // Landlock has no rule for sockets with a path.
  "connect to a unix socket": ["done", "done", EPERM, EPERM],
  "open a raw socket": ["done", EPERM, EPERM, EPERM],
  "open a packet socket": ["done", EPERM, EPERM, EPERM],
  "open a netlink socket": ["done", "done", EPERM, EPERM],
  "make a datagram socket of a pair": ["done", "done", EPERM, EPERM],
  "watch a folder": ["done", "done", EPERM, EPERM],
  "trace a process": ["done", EPERM, EPERM, EPERM],
  "signal a process": ["done", EPERM, EPERM, EPERM],
  "signal its thread": ["done", EPERM, EPERM, EPERM],
  "signal by tkill": ["done", EPERM, EPERM, EPERM],
  "read its memory": ["done", EACCES, "done", EACCES],
  "read its environment": ["done", EACCES, "done", EACCES],
  "open its files": ["done", EACCES, "done", EACCES],
  // deno needs /proc/self/maps, which has no name of its own to grant before there is a process.
  "read its command line": ["done", "done", "done", "done"],
  "write to /proc": ["done", EACCES, "done", EACCES],
  "limit its files": ["done", "done", EPERM, EPERM],
  // From here on Landlock has no rules. Another process of the same user is safe only where it has more capabilities.
  "slow it down": ["done", LESS_ABLE, EPERM, EPERM],
  "choose its processor": ["done", LESS_ABLE, EPERM, EPERM],
  "change a mode": ["done", "done", EPERM, EPERM],
  "change an owner": ["done", "done", EPERM, EPERM],
  "change times": ["done", "done", EPERM, EPERM],
  "share memory with others": ["done", "done", EPERM, EPERM],
  "open a message queue": ["done", "done", EPERM, EPERM],
  "mount": ["done", EPERM, EPERM, EPERM],
  "make a namespace": ["done", EPERM, EPERM, EPERM],
  "load a BPF map": ["done", EPERM, EPERM, EPERM],
  "open by handle": ["done", "done", EPERM, EPERM],
  "set up io_uring": ["done", "done", ENOSYS, ENOSYS],
  "answer for its owner": ["done", "done", EPERM, EPERM],
  "use a key ring": ["done", "done", EPERM, EPERM],
};

async function attackWith(
  options: Pick<ConfinedOptions, "sandbox" | "env" | "audit" | "seccomp">,
  targets: Targets,
  ...args: readonly string[]
): Promise<Record<string, Result>> {
  const { stdout, stderr, code } = await runChild({
    ...options,
    entry: beside("attacker_process.ts"),
    args: [JSON.stringify(targets), ...args],
    permissions: ["--allow-ffi"],
    landlock: { read: [here] },
  });
  assertEquals({ stderr, code }, { stderr: "", code: 0 });
  return JSON.parse(stdout);
}

function expected(column: number): Record<string, Result> {
  return Object.fromEntries(
    Object.entries(EXPECTED).map(([name, row]) => [name, row[column]!]),
  );
}

const asRoot = (name: string, test: () => Promise<void>) =>
  Deno.uid() === 0
    ? sandboxTest(name, test)
    : Deno.test.ignore(`${name} (skipped: not root)`, test);

asRoot("Deno's permissions alone refuse nothing to code with FFI", async () => {
  await withTargets(async (targets) => {
    assertEquals(await attackWith({ sandbox: "deno" }, targets), expected(0));
  });
});

sandboxTest(
  "Landlock and dropped capabilities alone refuse files, programs, ports and other processes",
  async () => {
    await withTargets(async (targets) => {
      const results = await attackWith({ sandbox: "strict" }, targets, "open");
      assertEquals(results, expected(1));
    });
  },
);

asRoot("seccomp alone refuses all but files", async () => {
  await withTargets(async (targets) => {
    const env = closeVariable({ ...CLOSED, reportTo: null });
    const results = await attackWith({ sandbox: "off", env }, targets);
    assertEquals(results, expected(2));
  });
});

sandboxTest("A strict process is refused every attack but one", async () => {
  await withTargets(async (targets) => {
    const results = await attackWith({ sandbox: "strict" }, targets);
    assertEquals(results, expected(3));
    const done = Object.keys(results).filter((name) =>
      results[name] === "done"
    );
    assertEquals(done, ["read its command line"]);
  });
});

sandboxTest("The owner of a strict process is told each attack", async () => {
  await withTargets(async (targets) => {
    const lines: string[] = [];
    const NONE = { read: [], write: [], net: [], env: [], run: [], import: [] };
    const results = await attackWith({
      sandbox: "strict",
      audit: { granted: NONE, onRefused: (attempt) => lines.push(attempt) },
      seccomp: { ...CLOSED, paths: true },
    }, targets);
    assertEquals(results, expected(3));
    assertTold(lines, targets);
  });
});
