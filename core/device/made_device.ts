// Thread: queue
// What a module's `create` returned, checked against what the module declares: one handler a queue, features it knows.
import type { QueueHandler, VirtioDevice } from "../plugin.ts";
import type { DeviceModule } from "./module_declaration.ts";

const PAGE = "see VirtioDevice in plugins/API.md";

/** The device; throws a TypeError that says what the contract asks for. */
export function readDevice(module: DeviceModule, made: unknown): VirtioDevice {
  if (typeof made !== "object" || made === null) {
    throw new TypeError(
      `create() returned ${made}, not a device with its queues (${PAGE})`,
    );
  }
  const { queues, offers = [] } = made as Partial<VirtioDevice>;
  if (typeof queues !== "object" || queues === null) {
    const meant = "queue" in made ? "; it has queue: did you mean queues?" : "";
    throw new TypeError(
      `create() returned a device without queues${meant} (${PAGE})`,
    );
  }
  const names = Object.keys(module.queues);
  for (const name of names) {
    if (isHandler(queues[name])) continue;
    throw new TypeError(
      `queue ${name} has no handler; give a function, { handle }, { available } or null (${PAGE})`,
    );
  }
  const unknown = Object.keys(queues).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new TypeError(
      `queue ${unknown} has a handler but is not declared (${PAGE})`,
    );
  }
  if (!Array.isArray(offers)) {
    throw new TypeError(`offers is not a list of features (${PAGE})`);
  }
  const strange = offers.find((name) => !Object.hasOwn(module.features, name));
  if (strange === undefined) return made as VirtioDevice;
  throw new TypeError(`offers ${strange}, which is not declared (${PAGE})`);
}

function isHandler(handler: unknown): handler is QueueHandler {
  if (handler === null || typeof handler === "function") return true;
  if (typeof handler !== "object") return false;
  const { handle, available, refuse } = handler as Record<string, unknown>;
  const isOptional = refuse === undefined || typeof refuse === "function";
  return isOptional &&
    (typeof handle === "function" || typeof available === "function");
}
