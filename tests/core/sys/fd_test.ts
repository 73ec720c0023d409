import { assertEquals, assertThrows } from "@std/assert";
import { SysError } from "../../../core/errors.ts";
import { EventFd, Fd, signalEventFd } from "../../../core/sys/fd.ts";

/** What this process has open under a number; null for nothing. */
function target(fd: number): string | null {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return null;
  }
}

Deno.test("Fd.close() closes once, and the number cannot be used after it", () => {
  const fd = Fd.open("/dev/null", 0);
  const number = fd.fd;
  assertEquals(target(number), "/dev/null");
  fd.close();
  assertEquals(target(number), null);
  using other = Fd.open("/dev/zero", 0);
  assertEquals(other.fd, number, "the lowest number that is free");
  fd.close();
  assertEquals(target(number), "/dev/zero");
  assertThrows(() => fd.fd, Error, "after close");
});

Deno.test("Fd.open() throws what the kernel said, with the path", () => {
  const error = assertThrows(
    () => Fd.open("/nonexistent/file", 0),
    SysError,
  ) as SysError;
  assertEquals([error.errno, error.call], [2, "open /nonexistent/file"]);
});

Deno.test("signalEventFd() adds up, and never blocks", () => {
  using event = new EventFd();
  signalEventFd(event.fd);
  signalEventFd(event.fd);
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${event.fd}`);
  assertEquals(/eventfd-count:\s+(\w+)/.exec(info)?.[1], "2");
  // O_CLOEXEC | O_NONBLOCK | O_RDWR
  assertEquals(/flags:\s+(\d+)/.exec(info)?.[1], "02004002");
});
