import { deepEqual, equal } from "node:assert/strict";
import { conformance } from "@paddock/paddock";
import { lineAt } from "./mod.ts";

Deno.test("Each line has its number and the text of vm.json", () => {
  equal(lineAt(7, "hello"), "7: hello");
});

Deno.test("starter keeps the contract, whatever a driver does to it", async () => {
  const module = import.meta.resolve("./mod.ts");
  const { checks } = await conformance(module, { text: "hello", size: "4K" });
  deepEqual(checks.filter(({ ok }) => !ok), []);
});
