// Thread: main
// The conformance kit for a device's own tests: a module and its options in, what came of each check out.
import { prepareDevice } from "../device/prepare_device.ts";
import { NOTHING } from "../manifest/built_in.ts";
import { type Report, testPlugin } from "./kit.ts";

/**
 * Runs the conformance kit on a device's module, a file: URL, with these options and what it asks for; needs no KVM. It
 * takes some seconds, and `--unstable-worker-options` as {@linkcode Vm} does. Paths in `options` are relative to the
 * working directory.
 *
 * ```ts ignore
 * import { conformance } from "@paddock/paddock";
 *
 * Deno.test("My device keeps the contract", async () => {
 *   const { checks } = await conformance(import.meta.resolve("./mod.ts"));
 *   const broken = checks.filter(({ ok }) => !ok);
 *   if (broken.length > 0) throw new Error(JSON.stringify(broken, null, 2));
 * });
 * ```
 *
 * @throws {ManifestError} when the options are not what the device declares
 */
export async function conformance(
  module: string,
  options: Readonly<Record<string, unknown>> = {},
): Promise<Report> {
  const prepared = await prepareDevice(
    module,
    undefined,
    options,
    "options",
    "asked",
  );
  return await testPlugin({
    module,
    // The first check says what is wrong with a module that declares nothing.
    ...typeof prepared === "string"
      ? { options: {}, permissions: NOTHING }
      : prepared,
    onResult: () => {},
  });
}
