// Thread: queue
// A device's thread: what main posts to it, and how it ends.
import { describeError } from "../errors.ts";
import { workerScope } from "../sys/worker_scope.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { type DeviceModule, readModule } from "./module_declaration.ts";
import { Service } from "./service.ts";

const scope = workerScope<ToWorker, FromWorker>();
const device = Promise.withResolvers<DeviceModule>();
let moduleUrl: string | undefined;
let service: Promise<Service> | undefined;

// Set before the device's module runs, which may await something: a message without a listener is lost.
scope.onmessage = ({ data }) => {
  switch (data.type) {
    case "init":
      moduleUrl = data.module;
      service = device.promise.then((module) =>
        new Service(
          data,
          module,
          (...message) => scope.postMessage(...message),
        )
      );
      return end(service.then((service) => service.run()));
    case "memory":
      return service?.then((service) => service.setMemory(data));
    case "punched":
      return service?.then((service) => service.punched(data.id, data.ok));
    case "port":
      return service?.then((service) => service.deliver(data.data));
  }
};

async function end(running: Promise<void>): Promise<void> {
  let error: string | null = null;
  try {
    await running;
  } catch (cause) {
    error = describeError(cause, moduleUrl);
  }
  scope.postMessage({ type: "closed", error });
  scope.close();
}

// What a device throws where nobody catches it would be printed to the terminal of whoever runs the VM.
addEventListener("error", (event) => {
  event.preventDefault();
  end(Promise.reject(event.error));
});
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  end(Promise.reject(event.reason));
});

/** Called by the worker's bootstrap with the device module's default export. */
export function serve(exported: unknown): void {
  device.resolve(Promise.try(() => readModule(exported)));
}
