import { assert, assertEquals } from "@std/assert";
import { linesOf } from "../../../core/sandbox/missing.ts";

Deno.test("What a kernel cannot refuse is one line that fits a terminal", () => {
  const lines = linesOf([
    "Landlock leaves ioctls of host devices open (ABI 4)",
    "Landlock leaves signals and abstract sockets open (ABI 4)",
    "seccomp: the kernel has none",
  ]);
  assertEquals(lines, ["some walls need a newer kernel; see `paddock doctor`"]);
  assert(`warning: sandbox: ${lines[0]}`.length <= 80);
  assertEquals(linesOf([]), []);
});

Deno.test("A grant that came to nothing is told as it is", () => {
  const grant = "write of /nowhere is not granted: no such file";
  assertEquals(linesOf([grant]), [grant]);
});
