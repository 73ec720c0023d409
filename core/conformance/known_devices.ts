// Thread: main
// Drivers for devices whose protocol the specification has: block, console, entropy.
import {
  VIRTIO_ID_BLOCK,
  VIRTIO_ID_CONSOLE,
  VIRTIO_ID_ENTROPY,
} from "../virtio/constants.ts";
import type { Bench } from "./bench.ts";
import { BLOCK_CHECKS } from "./block_checks.ts";
import { count, Finding, type PlannedCheck, virtio } from "./check.ts";
import { answered } from "./exchange.ts";
import { content } from "./load.ts";

/** How long output may be on its way through the port. */
const ARRIVAL_MS = 5000;
const TEXT = "conformance\n";

const ENTROPY: PlannedCheck = {
  name: "entropy: every request gets bytes",
  section: virtio("5.4.6.2"),
  asks: "The device places one or more random bytes into the buffer.",
  async run(bench) {
    const live = await bench.bringUp({ format: "split" });
    const written: number[] = [];
    for (const size of [1, 64, 4096]) {
      const request = { readable: [], writable: [size] };
      const answer = await answered(bench, live, bench.queues[0]!, request);
      if (answer.written === 0) {
        throw new Finding(`a request for ${count(size, "byte")} got none`);
      }
      written.push(answer.written);
    }
    return `${written.join(", ")} bytes for 1, 64, 4096`;
  },
};

/** A console that speaks to its port as the built-in one does has its bytes followed to there. */
const CONSOLE: PlannedCheck = {
  name: "console: output is taken, and input given",
  section: virtio("5.3.6.2.1"),
  asks: "Chains of the transmitq come back as soon as their bytes are taken.",
  async run(bench) {
    let output = "";
    attendConsole(bench, (text) => output += text);
    const live = await bench.bringUp({ format: "split" });
    const [receiveq, transmitq] = bench.queues;
    const bytes = new TextEncoder().encode(TEXT);
    const request = { readable: [bytes, content(0)], writable: [] };
    await answered(bench, live, transmitq!, request);
    const hasArrived = () => output.includes(TEXT);
    if (!await bench.machine.until(hasArrived, ARRIVAL_MS)) {
      return "its port has messages of its own";
    }
    bench.machine.host.port.postMessage({ type: "input", bytes });
    const room = { readable: [], writable: [64] };
    const input = await answered(bench, live, receiveq!, room);
    const text = new TextDecoder().decode(
      input.bytes.subarray(0, input.written),
    );
    if (text !== TEXT) throw new Finding("input did not come as it was sent");
    attendConsole(bench);
    return "to its port, and from there";
  },
};

/** Takes output, as a terminal does: a console whose reader is slow makes its driver wait. */
function attendConsole(
  { machine }: Bench,
  onOutput: (text: string) => void = () => {},
): void {
  const text = new TextDecoder();
  machine.onMessage = (data) => {
    const { type, bytes } = Object(data) as Record<string, unknown>;
    if (type !== "output" || !(bytes instanceof Uint8Array)) return;
    onOutput(text.decode(bytes, { stream: true }));
    machine.host.port.postMessage({ type: "taken", length: bytes.length });
  };
}

const KNOWN: ReadonlyMap<number, readonly PlannedCheck[]> = new Map([
  [VIRTIO_ID_BLOCK, BLOCK_CHECKS],
  [VIRTIO_ID_CONSOLE, [CONSOLE]],
  [VIRTIO_ID_ENTROPY, [ENTROPY]],
]);

/** Checks of the device's own protocol, where the kit knows it. */
export function protocolChecks(
  { declaration }: Bench,
): readonly PlannedCheck[] {
  return KNOWN.get(declaration.id) ?? [];
}
