import { assertEquals } from "@std/assert";
import * as abi from "../../../core/sandbox/landlock_abi.ts";

// What a C program that includes linux/landlock.h and sys/syscall.h prints on x86-64.
const NUMBERS = {
  SYS_landlock_create_ruleset: 0x1bc,
  SYS_landlock_add_rule: 0x1bd,
  SYS_landlock_restrict_self: 0x1be,
  LANDLOCK_CREATE_RULESET_VERSION: 0x1,
  LANDLOCK_RULE_PATH_BENEATH: 0x1,
  LANDLOCK_RULE_NET_PORT: 0x2,
  LANDLOCK_ACCESS_FS_EXECUTE: 0x1,
  LANDLOCK_ACCESS_FS_WRITE_FILE: 0x2,
  LANDLOCK_ACCESS_FS_READ_FILE: 0x4,
  LANDLOCK_ACCESS_FS_READ_DIR: 0x8,
  LANDLOCK_ACCESS_FS_REMOVE_DIR: 0x10,
  LANDLOCK_ACCESS_FS_REMOVE_FILE: 0x20,
  LANDLOCK_ACCESS_FS_MAKE_DIR: 0x80,
  LANDLOCK_ACCESS_FS_MAKE_REG: 0x100,
  LANDLOCK_ACCESS_FS_MAKE_SOCK: 0x200,
  LANDLOCK_ACCESS_FS_MAKE_FIFO: 0x400,
  LANDLOCK_ACCESS_FS_MAKE_SYM: 0x1000,
  LANDLOCK_ACCESS_FS_REFER: 0x2000,
  LANDLOCK_ACCESS_FS_TRUNCATE: 0x4000,
  LANDLOCK_ACCESS_FS_IOCTL_DEV: 0x8000,
  LANDLOCK_ACCESS_NET_BIND_TCP: 0x1,
  LANDLOCK_ACCESS_NET_CONNECT_TCP: 0x2,
};

Deno.test("Landlock's numbers and structs are those of the kernel's header", () => {
  const named = abi as unknown as Record<string, unknown>;
  for (const [name, value] of Object.entries(NUMBERS)) {
    assertEquals(named[name], value, name);
  }
  assertEquals(abi.LandlockRulesetAttr.SIZE, 0x18);
  assertEquals(abi.LandlockPathBeneathAttr.OFFSET.parent_fd, 0x8);
  assertEquals(abi.LandlockNetPortAttr.SIZE, 0x10);
  assertEquals(abi.LandlockNetPortAttr.OFFSET.port, 0x8);
});

Deno.test("handledBy() asks no kernel for what it does not know", () => {
  const rows = [0, 1, 2, 3, 4, 5, 6, 7].map((version) =>
    Object.values(abi.handledBy(version))
  );
  assertEquals(rows, [
    [0, 0, 0],
    [0x1fff, 0, 0],
    [0x3fff, 0, 0],
    [0x7fff, 0, 0],
    [0x7fff, 3, 0],
    [0xffff, 3, 0],
    [0xffff, 3, 3],
    [0xffff, 3, 3],
  ]);
});

Deno.test("leftOpenBy() names what an old kernel does not refuse", () => {
  assertEquals(abi.leftOpenBy(6), []);
  assertEquals(abi.leftOpenBy(3), [
    "TCP ports",
    "ioctls of host devices",
    "signals and abstract sockets",
  ]);
  assertEquals(abi.leftOpenBy(0).length, 5);
});
