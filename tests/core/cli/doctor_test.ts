import { assertEquals } from "@std/assert";
import { examine } from "../../../core/cli/doctor.ts";
import { landlockAbi } from "../../../core/sandbox/landlock.ts";
import { hasSeccomp } from "../../../core/sandbox/seccomp.ts";

Deno.test("doctor says what the kernel can refuse a process", () => {
  const find = (name: string) => examine().find(({ check }) => check === name);
  const landlock = find("Landlock")!;
  assertEquals(landlock.state, landlockAbi() >= 6 ? "ok" : "warning");
  assertEquals(landlock.remedy === undefined, landlock.state === "ok");
  assertEquals(find("seccomp")!.state, hasSeccomp() ? "ok" : "warning");
});
