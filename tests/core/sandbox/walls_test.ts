import { assertEquals, assertThrows } from "@std/assert";
import { ManifestError } from "../../../core/errors.ts";
import { openWalls, type WallOptions } from "../../../core/sandbox/walls.ts";
import { withFolder } from "../../support/folder.ts";

const LIMITS = { memory: 2 ** 30, cpus: 2, pids: 100 };

/** What it says, and that nothing was made. */
function problemOf(options: WallOptions): string {
  const stack = new AsyncDisposableStack();
  return assertThrows(() => openWalls(options, LIMITS, stack), ManifestError)
    .message;
}

Deno.test("openWalls() makes nothing where nothing is asked for", () => {
  const walls = openWalls({}, LIMITS, new AsyncDisposableStack());
  assertEquals(walls, { sandbox: "strict", user: null, cgroup: null });
});

Deno.test("openWalls() takes another user and a cgroup with the strict sandbox only", () => {
  const expected = (sandbox: string) =>
    `sandbox: must be "strict" for another user and a cgroup, not "${sandbox}"`;
  assertEquals(
    problemOf({ sandbox: "off", user: "nobody" }),
    expected("off"),
  );
  assertEquals(
    problemOf({ sandbox: "deno", cgroup: "/sys/fs/cgroup" }),
    expected("deno"),
  );
});

Deno.test("openWalls() says what is wrong with a user", () => {
  if (Deno.uid() !== 0) {
    assertEquals(
      problemOf({ user: "nobody" }),
      "user: only root can run a machine as nobody; leave it out",
    );
    return;
  }
  assertEquals(
    problemOf({ user: "no-such-user" }),
    "user: there is no no-such-user; make one: useradd --system --groups kvm no-such-user",
  );
  assertEquals(
    problemOf({ user: "root" }),
    "user: root is root; name another",
  );
});

Deno.test("openWalls() takes no folder that is not of cgroup v2", async () => {
  await withFolder((folder) => {
    const path = `${folder}/none`;
    for (const cgroup of [folder, path]) {
      assertEquals(
        problemOf({ cgroup }),
        `cgroup: ${cgroup} is no folder of cgroup v2; name one, as in /sys/fs/cgroup/machines`,
      );
    }
    assertEquals([...Deno.readDirSync(folder)], []);
    return Promise.resolve();
  });
});
