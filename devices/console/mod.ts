// The console (virtio-v1.3 §5.3), one port, hvc0: bytes to and from whoever holds the VM.
import {
  type ConfigValues,
  defineDevice,
  type DescriptorChain,
  type DevicePort,
  type PulledQueue,
} from "../../core/plugin.ts";

/**
 * Messages over the device's port. Both sides count bytes in flight, so that neither can flood the other. Each message
 * of output is answered at once by a "taken", of no bytes as long as nobody reads them.
 */
type FromHost =
  | { readonly type: "input"; readonly bytes: Uint8Array }
  | { readonly type: "taken"; readonly length: number }
  | {
    readonly type: "resize";
    readonly columns: number;
    readonly rows: number;
  };

/** Bytes of output that the host has not taken yet, above which the guest's writes wait. */
const WINDOW = 256 * 1024;
/** The most bytes of one message. */
const MAX_OUTPUT = 64 * 1024;

/** struct virtio_console_config (§5.3.4); what follows is for multiport. */
const CONFIG = { cols: "u16", rows: "u16" } as const;
type Size = ConfigValues<typeof CONFIG>;

interface ConsoleContext {
  readonly port: DevicePort;
  queue(name: "receiveq" | "transmitq"): PulledQueue | null;
  updateConfig(size: Size): void;
}

export default defineDevice({
  id: 3,
  features: { VIRTIO_CONSOLE_F_SIZE: 0 },
  queues: { receiveq: 64, transmitq: 64 },
  config: CONFIG,
  create,
});

function create({ port, queue, updateConfig }: ConsoleContext) {
  let pending: Uint8Array[] = [];
  let inFlight = 0;
  // Small outputs are joined while a message is not answered: a guest may print byte by byte, and each message takes
  // hundreds of bytes and some of main's time.
  const joined = new Uint8Array(MAX_OUTPUT);
  let filled = 0;
  let answered = true;
  let sending: DescriptorChain | null = null;
  let terminal: Size | null = null;
  /** Linux takes the size from a configuration change only, and from one before its first output not at all. */
  let announced = false;

  function deliver(receiveq: PulledQueue): void {
    let delivered = 0;
    while (pending.length > 0) {
      const chain = receiveq.pop();
      if (chain === null) break;
      const bytes = pending[0]!;
      const written = chain.writable.write(bytes);
      receiveq.addUsed(chain, written);
      delivered += written;
      if (written === bytes.length) pending.shift();
      else pending[0] = bytes.subarray(written);
    }
    receiveq.flush();
    if (delivered > 0) port.postMessage({ type: "taken", length: delivered });
  }

  /** Passes output on as far as the host's window goes; nothing is in flight, so a reset never waits for a reader. */
  function drain(transmitq: PulledQueue): void {
    while (inFlight < WINDOW) {
      sending ??= transmitq.pop();
      if (sending === null) break;
      if (!announced && terminal !== null) updateConfig(terminal);
      announced = true;
      const { readable } = sending;
      const length = Math.min(readable.remaining, MAX_OUTPUT - filled);
      readable.read(joined.subarray(filled, filled + length));
      filled += length;
      inFlight += length;
      if (filled === MAX_OUTPUT) send();
      if (readable.remaining > 0) continue;
      transmitq.addUsed(sending, 0);
      sending = null;
    }
    if (answered) send();
    transmitq.flush();
  }

  function send(): void {
    if (filled === 0) return;
    const bytes = joined.slice(0, filled);
    filled = 0;
    answered = false;
    port.postMessage({ type: "output", bytes }, [bytes.buffer]);
  }

  function serveIfLive(
    name: "receiveq" | "transmitq",
    serve: (queue: PulledQueue) => void,
  ): void {
    const live = queue(name);
    if (live !== null) serve(live);
  }

  port.onmessage = (message) => {
    const data = message as FromHost;
    switch (data.type) {
      case "input": {
        pending.push(data.bytes);
        serveIfLive("receiveq", deliver);
        break;
      }
      case "taken":
        inFlight -= data.length;
        answered = true;
        serveIfLive("transmitq", drain);
        // What the guest printed before its reset.
        if (answered) send();
        break;
      case "resize":
        terminal = { cols: data.columns, rows: data.rows };
        updateConfig(terminal);
        break;
    }
  };

  updateConfig({ cols: 80, rows: 24 });
  return {
    queues: {
      receiveq: { available: deliver },
      transmitq: { available: drain },
    },
    reset() {
      announced = false;
      const length = pending.reduce((sum, bytes) => sum + bytes.length, 0);
      pending = [];
      sending = null;
      if (length > 0) port.postMessage({ type: "taken", length });
    },
    pause: send,
    close: send,
  };
}
