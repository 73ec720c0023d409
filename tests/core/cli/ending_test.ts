import { assertEquals } from "@std/assert";
import { report, statusOf } from "../../../core/cli/ending.ts";
import { capture } from "./capture.ts";

const end = (
  reason: "poweroff" | "stopped" | "panic" | "internal-error",
  absent: readonly string[] = [],
) => ({ reason, detail: "it ended", absent });

Deno.test("A device that could not start has a status of its own, unless the end was worse", () => {
  assertEquals(statusOf(end("poweroff")), 0);
  assertEquals(statusOf(end("poweroff", ["fan0"])), 7);
  assertEquals(statusOf(end("stopped", ["fan0"])), 7);
  assertEquals(statusOf(end("panic", ["fan0"])), 6);
});

Deno.test("report() says in one line why a machine ended, and what could not start", async () => {
  const cases = [
    [end("poweroff"), "paddock: it ended\n"],
    [
      end("poweroff", ["fan0", "b"]),
      "paddock: it ended; fan0, b could not start\n",
    ],
    [
      end("internal-error"),
      "paddock: it ended; this host's KVM cannot run the guest; see `paddock doctor`\n",
    ],
  ] as const;
  for (const [ending, line] of cases) {
    const { stderr } = await capture(() => {
      report(ending, false);
      return 0;
    });
    assertEquals(stderr, line);
  }
});

Deno.test("report() with --json is one event, with the devices that could not start", async () => {
  const events = [
    [end("poweroff"), {}],
    [end("poweroff", ["fan0"]), { absent: ["fan0"] }],
  ] as const;
  for (const [ending, more] of events) {
    const { stderr } = await capture(() => {
      report(ending, true);
      return 0;
    });
    assertEquals(JSON.parse(stderr), {
      event: "exit",
      reason: "poweroff",
      detail: "it ended",
      ...more,
    });
  }
});
