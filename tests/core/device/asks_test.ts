import { assertEquals } from "@std/assert";
import { askedPermissions } from "../../../core/device/asks.ts";
import { NOTHING } from "../../support/permissions.ts";

const asked = (permissions: object, options = {}) =>
  askedPermissions({ permissions }, options, "/vm");

Deno.test("A device asks for values, and for what its options hold", () => {
  assertEquals(
    asked(
      {
        read: ["data", { option: "path" }, { option: "absent" }],
        env: ["HOME"],
      },
      { path: "/disk.img", absent: undefined },
    ),
    { ...NOTHING, read: ["/vm/data", "/disk.img"], env: ["HOME"] },
  );
  assertEquals(asked({}), NOTHING);
});

Deno.test("A device that asks for the net of a URL asks for its host and port", () => {
  const net = (url: string) => asked({ net: [{ option: "url" }] }, { url }).net;
  assertEquals(net("http://127.0.0.1:8000/disk.img"), ["127.0.0.1:8000"]);
  assertEquals(net("https://example.com/disk.img"), ["example.com:443"]);
  assertEquals(net("http://example.com/"), ["example.com:80"]);
  assertEquals(net("localhost:8080"), ["localhost:8080"]);
});
