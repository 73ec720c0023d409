import { assertEquals, assertThrows } from "@std/assert";
import { ManifestError } from "../../../core/errors.ts";
import { parseManifest } from "../../../core/manifest/load.ts";
import { builtInDevices } from "../../../devices/registry.ts";
import { withFolder } from "./folder.ts";

/** `$DIR` stands for the test's folder. */
function messageOf(manifest: string, dir: string): string {
  const error = assertThrows(
    () => parseManifest(manifest, dir, builtInDevices),
    ManifestError,
  ) as ManifestError;
  return error.message.replaceAll(dir, "$DIR");
}

const CPUS =
  "cpus: must be the number of CPUs, a whole number from 1 to 64, not ";
const MEMORY = "memory: must be the size of the memory, from 16M to 64G in " +
  'steps of 4K, such as "64M", not ';
const NAME =
  '1 to 64 letters, digits, "_", "." or "-", the first no "." or "-"';
const BOOT = 'boot: must be an object such as { "use": "debian" }, ' +
  '{ "kernel": "./vmlinuz" } or { "flat": "./guest.bin" }, not ';
const TOP =
  "the fields here are $schema, name, cpus, memory, boot, devices, serial";
const USE =
  'devices[0].use: must be "console", "block", "rng", "vhost-user", or a module such as ' +
  '"./device.ts" or "npm:name@1.0.0", not ';
const INTEGRITY = 'devices[0].integrity: must be a hash such as "sha256-…", ' +
  "or false to take whatever comes, not ";
const BESIDE = "; look for a missing comma, quote or bracket";
const TOO_SOON =
  "the text ends too soon; close every bracket, string and comment";
const SAME =
  ', and a device may write to it; name another file, or set "readOnly": true';

/** Manifest → the one line. */
const BROKEN: readonly (readonly [string, string])[] = [
  // JSON.
  ["", `Line 1, column 1: ${TOO_SOON}`],
  ["{", `Line 1, column 2: ${TOO_SOON}`],
  ["/* no end", `Line 1, column 10: ${TOO_SOON}`],
  [
    '{ "cpus": 1\n  "memory": "1G" }',
    `Line 2, column 3: unexpected "memory"${BESIDE}`,
  ],
  [
    '{\n  // CPUs\n  "cpus": one\n}',
    `Line 3, column 11: unexpected "one"${BESIDE}`,
  ],
  ['{ "name": "a\nb" }', `Line 1, column 11: unexpected "a${BESIDE}`],
  ['{ "cpus": 01 }', `Line 1, column 11: unexpected "01"${BESIDE}`],
  ["{} {}", `Line 1, column 4: unexpected "{"${BESIDE}`],
  ["\0\x01", `Line 1, column 1: unexpected "\\u0000"${BESIDE}`],
  ["[".repeat(100_000), "The manifest is nested too deeply; flatten it"],
  [
    '{ "x": ' + "[".repeat(100) + "]".repeat(100) + " }",
    "The manifest is nested too deeply; flatten it",
  ],
  // The top.
  ["[]", 'The manifest must be an object such as { "cpus": 1 }, not a list'],
  ["null", 'The manifest must be an object such as { "cpus": 1 }, not null'],
  [
    '"debian"',
    'The manifest must be an object such as { "cpus": 1 }, not "debian"',
  ],
  ['{ "memroy": "1G" }', 'memroy: unknown field; did you mean "memory"?'],
  ['{ "x\\u001b[2J\\ny": 1 }', `["x\\u001b[2J\\ny"]: unknown field; ${TOP}`],
  ['{ "__proto__": { "cpus": 2 } }', `__proto__: unknown field; ${TOP}`],
  ['{ "constructor": 1 }', `constructor: unknown field; ${TOP}`],
  ['{ "$schema": 1 }', "$schema: must be the path of the JSON Schema"],
  ['{ "name": "" }', `name: must be the machine's name, ${NAME}, not ""`],
  [
    '{ "name": "../up" }',
    `name: must be the machine's name, ${NAME}, not "../up"`,
  ],
  [
    '{ "name": ["vm"] }',
    `name: must be the machine's name, ${NAME}, not a list`,
  ],
  ['{ "cpus": 1.5 }', `${CPUS}1.5`],
  ['{ "cpus": 0 }', `${CPUS}0`],
  ['{ "cpus": -1 }', `${CPUS}-1`],
  ['{ "cpus": 65 }', `${CPUS}65`],
  ['{ "cpus": 1e999 }', `${CPUS}Infinity`],
  ['{ "cpus": "2" }', `${CPUS}"2"`],
  ['{ "cpus": null }', `${CPUS}null`],
  ['{ "memory": 512 }', `${MEMORY}512`],
  ['{ "memory": "-512M" }', `${MEMORY}"-512M"`],
  ['{ "memory": "512MB" }', `${MEMORY}"512MB"`],
  ['{ "memory": "1.5G" }', `${MEMORY}"1.5G"`],
  ['{ "memory": "15M" }', `${MEMORY}"15M"`],
  ['{ "memory": "65G" }', `${MEMORY}"65G"`],
  ['{ "memory": "99999999999999999999G" }', `${MEMORY}"99999999999999999999G"`],
  ['{ "memory": "16385K" }', `${MEMORY}"16385K"`],
  ['{ "serial": "yes" }', 'serial: must be true or false, not "yes"'],
  // What to boot.
  ['{ "boot": "debian" }', `${BOOT}"debian"`],
  ['{ "boot": [] }', `${BOOT}a list`],
  [
    '{ "boot": {} }',
    'boot.use: is required: "debian", or give "kernel" or "flat" instead of "use"',
  ],
  [
    '{ "boot": { "use": "fedora" } }',
    'boot.use: must be "debian", not "fedora"',
  ],
  [
    '{ "boot": { "kernal": "kernel" } }',
    'boot.kernal: unknown field; did you mean "kernel"?',
  ],
  [
    '{ "boot": { "use": "debian", "kernel": "kernel" } }',
    'boot: must have one of "use", "kernel" and "flat"; remove the others',
  ],
  [
    '{ "boot": { "use": "debian", "cmdline": "a\\nb" } }',
    'boot.cmdline: must be words to add to the kernel\'s command line, printable ASCII, not "a\\nb"',
  ],
  [
    `{ "boot": { "use": "debian", "cmdline": "${"a".repeat(2048)}" } }`,
    "boot.cmdline: must be at most 2047 characters; shorten it",
  ],
  [
    '{ "boot": { "use": "debian", "script": "no.sh" } }',
    'boot.script: there is no file "$DIR/no.sh"; create it or correct the path',
  ],
  [
    '{ "boot": { "kernel": "kernel", "protocol": "efi" } }',
    'boot.protocol: must be "auto", "linux64" or "pvh", not "efi"',
  ],
  [
    '{ "boot": { "kernel": "vmlinuz" } }',
    'boot.kernel: there is no file "$DIR/vmlinuz"; create it or correct the path',
  ],
  [
    '{ "boot": { "kernel": "folder" } }',
    'boot.kernel: "$DIR/folder" is a directory; name a regular file',
  ],
  [
    '{ "boot": { "kernel": "empty" } }',
    'boot.kernel: "$DIR/empty" is empty; name a file with content',
  ],
  [
    '{ "boot": { "kernel": "" } }',
    'boot.kernel: must be the kernel\'s file, a bzImage or an ELF vmlinux, not ""',
  ],
  [
    '{ "boot": { "kernel": "a\\u0000b" } }',
    'boot.kernel: must be the kernel\'s file, a bzImage or an ELF vmlinux, not "a\\u0000b"',
  ],
  [
    '{ "boot": { "kernel": "kernel/x" } }',
    'boot.kernel: "$DIR/kernel/x" cannot be read: Not a directory (os error 20); correct the path',
  ],
  [
    '{ "boot": { "kernel": "kernel", "initrd": "/dev/zero" } }',
    'boot.initrd: "/dev/zero" is not a regular file; name a regular file',
  ],
  [
    `{ "boot": { "flat": "${"x".repeat(5000)}" } }`,
    `boot.flat: must be a flat image, loaded and entered at 1 MiB, not "${
      "x".repeat(200)
    }…"`,
  ],
  [
    '{ "memory": "16M", "boot": { "flat": "big" } }',
    'boot.flat: "$DIR/big" does not fit into 16M; raise "memory"',
  ],
  // Devices.
  [
    '{ "devices": { "use": "rng" } }',
    'devices: must be a list such as [{ "use": "console" }], not an object',
  ],
  [
    `{ "devices": [${Array(20).fill('{ "use": "rng" }')}] }`,
    "devices: must be at most 19 devices, one an interrupt line; remove some",
  ],
  [
    '{ "devices": ["rng"] }',
    'devices[0]: must be an object such as { "use": "console" }, not "rng"',
  ],
  [
    '{ "devices": [[]] }',
    'devices[0]: must be an object such as { "use": "console" }, not a list',
  ],
  [
    '{ "devices": [{}] }',
    'devices[0].use: is required: "console", "block", "rng", "vhost-user" or a module',
  ],
  ['{ "devices": [{ "use": 1 }] }', `${USE}1`],
  [
    '{ "devices": [{ "use": "blok" }] }',
    'devices[0].use: there is no built-in device "blok"; did you mean "block"?',
  ],
  ['{ "devices": [{ "use": "toaster" }] }', `${USE}"toaster"`],
  ['{ "devices": [{ "use": "__proto__" }] }', `${USE}"__proto__"`],
  [
    '{ "devices": [{ "use": "echo/mod.ts" }] }',
    'devices[0].use: there is no built-in device "echo/mod.ts"; did you mean "./echo/mod.ts"?',
  ],
  [
    '{ "devices": [{ "use": "/echo/mod.ts" }] }',
    'devices[0].use: there is no built-in device "/echo/mod.ts"; did you mean "file:///echo/mod.ts"?',
  ],
  [
    '{ "devices": [{ "use": "http://example.org/x.ts" }] }',
    'devices[0].use: must come over https, not "http://example.org/x.ts"; only 127.0.0.1 may do without',
  ],
  ['{ "devices": [{ "use": "npm:" }] }', `${USE}"npm:"`],
  ['{ "devices": [{ "use": "jsr:x" }] }', `${USE}"jsr:x"`],
  [
    '{ "devices": [{ "use": "npm:x", "integrity": true }] }',
    `${INTEGRITY}true`,
  ],
  [
    '{ "devices": [{ "use": "npm:x", "integrity": "sha256-x" }] }',
    `${INTEGRITY}"sha256-x"`,
  ],
  [
    '{ "devices": [{ "use": "rng", "isolation": "none" }] }',
    'devices[0].isolation: must be "worker" or "process", not "none"',
  ],
  [
    '{ "devices": [{ "use": "./none.ts" }] }',
    'devices[0].use: there is no file "$DIR/none.ts"; create it or correct the path',
  ],
  [
    '{ "devices": [{ "use": "./echo" }] }',
    'devices[0].use: "$DIR/echo" is a directory; name a regular file',
  ],
  [
    '{ "devices": [{ "use": "file://host/x.ts" }] }',
    'devices[0].use: "file://host/x.ts" is not a file URL; write the module\'s path, such as "./device.ts"',
  ],
  [
    '{ "devices": [{ "use": "rng", "name": "a b" }] }',
    `devices[0].name: must be the device's name, ${NAME}, not "a b"`,
  ],
  [
    '{ "devices": [{ "use": "rng", "name": "a" }, { "use": "rng", "name": "a" }] }',
    'devices[1].name: "a" is the name of devices[0] too; choose another',
  ],
  [
    '{ "devices": [{ "use": "rng", "maxBytes": 0 }] }',
    "devices[0].maxBytes: must be the most bytes that one request gets, a whole number from 1 to 1048576, not 0",
  ],
  [
    '{ "devices": [{ "use": "rng", "maxbytes": 1 }] }',
    'devices[0].maxbytes: unknown field; did you mean "maxBytes"?',
  ],
  [
    '{ "devices": [{ "use": "console", "cols": 80 }] }',
    "devices[0].cols: unknown field; the fields here are use, name, virtio, permissions, isolation",
  ],
  // Disks.
  [
    '{ "devices": [{ "use": "block" }] }',
    'devices[0].path: is required: the disk image, a path such as "disk.img"',
  ],
  [
    '{ "devices": [{ "use": "block", "pth": "disk.img" }] }',
    'devices[0].pth: unknown field; did you mean "path"?',
  ],
  [
    '{ "devices": [{ "use": "block", "path": 7 }] }',
    'devices[0].path: must be the disk image, a path such as "disk.img", not 7',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "folder" }] }',
    'devices[0].path: "$DIR/folder" is a directory; name a regular file',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "empty" }] }',
    'devices[0].path: "$DIR/empty" is empty; remove it and add "size": "64M" to have it created',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "odd.img" }] }',
    'devices[0].path: "$DIR/odd.img" has 1000 bytes, which is not a multiple of 512; round it up with truncate -s %512',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "new.img" }] }',
    'devices[0].path: there is no file "$DIR/new.img"; add "size": "64M" to have it created',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "new.img", "size": "1M", "readOnly": true }] }',
    'devices[0].path: there is no file "$DIR/new.img"; create it or correct the path',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "no/new", "size": "1M" }] }',
    'devices[0].path: there is no folder "$DIR/no" to create the disk in; create it or correct the path',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "new", "size": "0M" }] }',
    'devices[0].size: must be the size of the image to create where it is missing, from 1K to 1024G in steps of 1K, such as "64M", not "0M"',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "disk.img", "readOnly": 1 }] }',
    "devices[0].readOnly: must be true or false, not 1",
  ],
  [
    `{ "devices": [{ "use": "block", "path": "disk.img", "serial": "${
      "0".repeat(21)
    }" }] }`,
    'devices[0].serial: must be the disk\'s serial, 1 to 20 printable ASCII characters, not "000000000000000000000"',
  ],
  [
    '{ "devices": [{ "use": "block", "path": "disk.img", "readOnly": true }, { "use": "block", "path": "link.img" }] }',
    `devices[1].path: is the same file as devices[0].path${SAME}`,
  ],
  [
    '{ "devices": [{ "use": "block", "path": "new", "size": "1M" }, { "use": "block", "path": "./folder/../new", "size": "1M" }] }',
    `devices[1].path: is the same file as devices[0].path${SAME}`,
  ],
  [
    '{ "boot": { "flat": "disk.img" }, "devices": [{ "use": "block", "path": "disk.img" }] }',
    `devices[0].path: is the same file as boot.flat${SAME}`,
  ],
  // How a device speaks virtio.
  [
    '{ "devices": [{ "use": "rng", "virtio": { "ring": "round" } }] }',
    'devices[0].virtio.ring: must be "split" or "packed", not "round"',
  ],
  [
    '{ "devices": [{ "use": "rng", "virtio": { "transport": "legacy", "ring": "packed" } }] }',
    'devices[0].virtio.ring: needs the modern transport; remove it, or "transport": "legacy"',
  ],
  // Permissions.
  [
    '{ "devices": [{ "use": "./echo/mod.ts", "permissions": [] }] }',
    'devices[0].permissions: must be an object such as { "read": ["./data"] }, not a list',
  ],
  [
    '{ "devices": [{ "use": "rng", "permissions": "all" }] }',
    'devices[0].permissions: must be an object such as { "read": ["./data"] }, not "all"',
  ],
  [
    '{ "devices": [{ "use": "rng", "permissions": { "read": true } }] }',
    "devices[0].permissions.read: must be a list of paths that the device may read, not true",
  ],
  [
    '{ "devices": [{ "use": "rng", "permissions": { "read": [1] } }] }',
    "devices[0].permissions.read[0]: must be a path, not 1",
  ],
  [
    '{ "devices": [{ "use": "rng", "permissions": { "ffi": true } }] }',
    "devices[0].permissions.ffi: a device never gets ffi, which no permission confines; remove this field",
  ],
  [
    '{ "devices": [{ "use": "rng", "permissions": { "wirte": [] } }] }',
    'devices[0].permissions.wirte: unknown field; did you mean "write"?',
  ],
];

Deno.test("parseManifest() refuses a broken manifest with one line that names the field", () => {
  withFolder((dir) => {
    for (const [manifest, message] of BROKEN) {
      const actual = messageOf(manifest, dir);
      assertEquals(actual, message, `for ${manifest.slice(0, 200)}`);
      assertEquals(/\p{Cc}/u.test(actual), false);
    }
  });
});
