import { assertEquals, assertThrows } from "@std/assert";
import { SysError } from "../../../core/errors.ts";
import { EventFd, Fd, signalEventFd } from "../../../core/sys/fd.ts";

const openFds = () => [...Deno.readDirSync("/proc/self/fd")].length;

Deno.test("Fd.close() closes once, and the number cannot be used after it", () => {
  const before = openFds();
  const fd = Fd.open("/dev/null", 0);
  assertEquals(openFds(), before + 1);
  fd.close();
  fd.close();
  assertEquals(openFds(), before);
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
