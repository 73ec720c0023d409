import { assertEquals, assertStringIncludes } from "@std/assert";
import { refusedAttempt } from "../../../core/sandbox/audit.ts";

const GRANTED = {
  read: ["/data"],
  write: [],
  net: ["example.org", "127.0.0.1:8080", "*.example.net"],
  env: ["TERM"],
  run: [],
  import: ["esm.sh"],
};
const line = (permission: string, value: string | null) =>
  JSON.stringify({ v: 1, datetime: "now", permission, value });

/** As code asks for a path from the folder where it is. */
const relative = (path: string) =>
  `./${"../".repeat(Deno.cwd().split("/").length)}${path.slice(1)}`;

const COVERED: readonly (readonly [string, string | null])[] = [
  ["read", "/data"],
  ["read", "/data/a/b"],
  ["read", "/data/../data/a"],
  ["read", relative("/data/a")],
  ["net", "a.example.net:443"],
  ["net", "example.org:443"],
  ["net", "127.0.0.1:8080"],
  ["net", "http://127.0.0.1:8080/x"],
  ["net", null],
  ["env", "TERM"],
  ["import", "esm.sh:443"],
  ["ffi", null],
  ["ffi", "libc.so.6"],
];
const NOT_COVERED: readonly (readonly [string, string | null, string])[] = [
  ["read", "/database", 'read of "/database"'],
  ["read", "/etc/a\nb", 'read of "/etc/a\\nb"'],
  ["write", "/data/x", 'write of "/data/x"'],
  ["read", "/data/../etc/shadow", 'read of "/etc/shadow"'],
  ["read", relative("/etc/shadow"), 'read of "/etc/shadow"'],
  ["net", "example.net:443", 'net of "example.net:443"'],
  ["net", "badexample.net:443", 'net of "badexample.net:443"'],
  ["write", null, "write"],
  ["net", "127.0.0.1:22", 'net of "127.0.0.1:22"'],
  ["env", "HOME", 'env of "HOME"'],
  ["import", "evil.org:443", 'import of "evil.org:443"'],
  ["sys", "hostname", 'sys of "hostname"'],
  ["ffi", "/tmp/x.so", 'ffi of "/tmp/x.so"'],
];

Deno.test("refusedAttempt() says nothing of what is granted", () => {
  for (const [permission, value] of COVERED) {
    const attempt = refusedAttempt(line(permission, value), GRANTED);
    assertEquals(attempt, null, `${permission} ${value}`);
  }
});

Deno.test("refusedAttempt() tells what is not granted, in one line", () => {
  for (const [permission, value, what] of NOT_COVERED) {
    assertEquals(
      refusedAttempt(line(permission, value), GRANTED),
      `tried ${what}, which is not granted`,
    );
  }
});

Deno.test("refusedAttempt() names the field that would grant it, where there is one", () => {
  const field = "devices[1].permissions";
  const tell = (permission: string, value: string) =>
    refusedAttempt(line(permission, value), GRANTED, field);
  assertEquals(
    tell("read", "/etc/hosts"),
    'tried read of "/etc/hosts", which is not granted; to allow it, add it to devices[1].permissions.read',
  );
  assertEquals(
    tell("sys", "hostname"),
    'tried sys of "hostname", which is not granted',
  );
  assertEquals(tell("read", "/data"), null);
});

Deno.test("refusedAttempt() takes no other lines", () => {
  for (const text of ["null", "7", "[]", '{"permission":1}']) {
    assertEquals(refusedAttempt(text, GRANTED), null, text);
  }
  // Cut, because it was too long.
  const cut = refusedAttempt(line("read", "/etc").slice(0, -9), GRANTED);
  assertStringIncludes(cut!, "too long");
});
