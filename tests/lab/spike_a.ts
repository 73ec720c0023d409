import * as v from "valibot"; import { getLogger } from "@logtape/logtape"; import { assertEquals } from "@std/assert"; import "../../core/image/initramfs.ts"; import "./lab.ts";
assertEquals(typeof v.object, "function"); getLogger("x");
console.log("ok", performance.now());
