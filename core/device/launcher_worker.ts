// Thread: queue
// Between main and the worker of a device that is not built in: Deno checks static imports against whoever starts a
// worker, so this one, which may read the device's folder and the core only, starts it.
import { workerScope } from "../sys/worker_scope.ts";
import type { FromWorker } from "./messages.ts";

/** What main posts first; everything after it is for the device. */
export interface LauncherInit {
  readonly name: string;
  /** URL of the worker's bootstrap. */
  readonly bootstrap: string;
  readonly permissions: Deno.PermissionOptionsObject;
}

const scope = workerScope<unknown, FromWorker>();

scope.onmessage = ({ data }) => {
  const { name, bootstrap, permissions } = data as LauncherInit;
  const worker = new Worker(bootstrap, {
    type: "module",
    name,
    deno: { permissions },
  });
  worker.onmessage = ({ data }) => scope.postMessage(data);
  worker.onerror = (event) => {
    event.preventDefault();
    scope.postMessage({ type: "closed", error: event.message });
  };
  scope.onmessage = ({ data }) => worker.postMessage(data);
};
