import { assertEquals } from "@std/assert";
import { type CpioEntry, writeCpio } from "../../../core/image/cpio.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const encode = (words: string) => new TextEncoder().encode(words);

Deno.test("writeCpio() writes the header, name and data of a file, each aligned to 4", () => {
  const archive = writeCpio([
    { type: "file", path: "a/bc", data: encode("hello"), mode: 0o755 },
  ]);

  const header = "070701" + // c_magic
    "00000001" + // c_ino
    "000081ed" + // c_mode: a regular file, rwxr-xr-x
    "00000000" + "00000000" + "00000001" + "00000000" + // uid, gid, nlink, mtime
    "00000005" + // c_filesize
    "00000000" + "00000000" + "00000000" + "00000000" + // device numbers
    "00000005" + "00000000"; // c_namesize with its NUL, c_chksum
  assertEquals(text(archive.subarray(0, 110)), header);
  assertEquals(text(archive.subarray(110, 116)), "a/bc\0\0");
  assertEquals(text(archive.subarray(116, 124)), "hello\0\0\0");
  assertEquals(text(archive.subarray(124, 130)), "070701");
  assertEquals(text(archive.subarray(124 + 110, 124 + 121)), "TRAILER!!!\0");
});

Deno.test("writeCpio() pads the archive to 512 bytes, so that another may follow", () => {
  assertEquals(writeCpio([]).length, 512);
  const data = new Uint8Array(600);
  assertEquals(writeCpio([{ type: "file", path: "x", data }]).length, 1024);
});

Deno.test("writeCpio() gives folders and links their type and default mode", () => {
  const mode = (entry: CpioEntry) => text(writeCpio([entry]).subarray(14, 22));
  assertEquals(mode({ type: "directory", path: "d" }), "000041ed");
  assertEquals(mode({ type: "symlink", path: "l", target: "d" }), "0000a1ff");
});

Deno.test("writeCpio() stores a link's target as its data", () => {
  const archive = writeCpio([{ type: "symlink", path: "l", target: "d" }]);
  assertEquals(text(archive.subarray(54, 62)), "00000001");
  assertEquals(text(archive.subarray(112, 113)), "d");
});

Deno.test("writeCpio() gives a device's node its numbers", () => {
  const archive = writeCpio([
    { type: "device", path: "c", major: 5, minor: 1 },
  ]);
  assertEquals(text(archive.subarray(14, 22)), "00002180");
  assertEquals(text(archive.subarray(54, 62)), "00000000"); // c_filesize
  assertEquals(text(archive.subarray(78, 94)), "0000000500000001");
});
