// Thread: any
// The global scope of a worker, typed: the checker sees every file with the main thread's globals.

export interface WorkerScope<In, Out> {
  onmessage: ((event: MessageEvent<In>) => void) | null;
  postMessage(message: Out, transfer?: Transferable[]): void;
  close(): void;
}

/** The scope of the worker that this runs in; `In` and `Out` are the two directions' message unions. */
export function workerScope<In, Out>(): WorkerScope<In, Out> {
  return globalThis as unknown as WorkerScope<In, Out>;
}
