// The console (virtio-v1.3 §5.3), one port, hvc0: bytes to and from whoever holds the VM.
import {
  defineDevice,
  type DescriptorChain,
  type PulledQueue,
} from "../../core/plugin.ts";

/** Messages over the device's port. Both sides count bytes in flight, so that neither can flood the other. */
type FromHost =
  | { readonly type: "input"; readonly bytes: Uint8Array }
  | { readonly type: "taken"; readonly length: number }
  | {
    readonly type: "resize";
    readonly columns: number;
    readonly rows: number;
  };

const VIRTIO_CONSOLE_F_SIZE = 0;
const RECEIVEQ = 0;
const TRANSMITQ = 1;
/** Bytes of output that the host has not taken yet, above which the guest's writes wait. */
const WINDOW = 256 * 1024;
/** The most bytes of one message. */
const MAX_OUTPUT = 64 * 1024;

export default defineDevice(({ port, queue, updateConfig }) => {
  let pending: Uint8Array[] = [];
  let inFlight = 0;
  let sending: DescriptorChain | null = null;
  let terminal: Uint8Array | null = null;
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
      if (!announced && terminal !== null) updateConfig(0, terminal);
      announced = true;
      const { readable } = sending;
      const bytes = new Uint8Array(Math.min(readable.remaining, MAX_OUTPUT));
      readable.read(bytes);
      inFlight += bytes.length;
      if (bytes.length > 0) {
        port.postMessage({ type: "output", bytes }, [bytes.buffer]);
      }
      if (readable.remaining > 0) continue;
      transmitq.addUsed(sending, 0);
      sending = null;
    }
    transmitq.flush();
  }

  function withQueue(index: number, serve: (queue: PulledQueue) => void): void {
    const live = queue(index);
    if (live !== null) serve(live);
  }

  port.onmessage = (message) => {
    const data = message as FromHost;
    switch (data.type) {
      case "input": {
        pending.push(data.bytes);
        withQueue(RECEIVEQ, deliver);
        break;
      }
      case "taken":
        inFlight -= data.length;
        withQueue(TRANSMITQ, drain);
        break;
      case "resize":
        terminal = size(data.columns, data.rows);
        updateConfig(0, terminal);
        break;
    }
  };

  return {
    id: 3,
    features: [VIRTIO_CONSOLE_F_SIZE],
    config: size(80, 24),
    queues: [
      { name: "receiveq", size: 64, available: deliver },
      { name: "transmitq", size: 64, available: drain },
    ],
    reset() {
      announced = false;
      const length = pending.reduce((sum, bytes) => sum + bytes.length, 0);
      pending = [];
      sending = null;
      if (length > 0) port.postMessage({ type: "taken", length });
    },
  };
});

/** struct virtio_console_config: cols, rows; the rest is for multiport. */
function size(columns: number, rows: number): Uint8Array {
  const config = new DataView(new ArrayBuffer(4));
  config.setUint16(0, columns, true);
  config.setUint16(2, rows, true);
  return new Uint8Array(config.buffer);
}
