import { assertEquals } from "@std/assert";
import { createSerialPage, SerialPort } from "../../../core/bus/serial.ts";
import { PATIENCE_MS } from "../../support/wait.ts";

function port() {
  const counts = { interrupts: 0, wakes: 0 };
  const serial = new SerialPort(createSerialPage(), {
    interrupt: () => counts.interrupts++,
    wakeMain: () => counts.wakes++,
  });
  const send = (text: string) => {
    for (const byte of new TextEncoder().encode(text)) serial.write(0, byte);
  };
  return { serial, counts, send };
}

const text = (bytes: Uint8Array | null) =>
  bytes === null ? null : new TextDecoder().decode(bytes);
const bytes = (...values: number[]) => new Uint8Array(values);

Deno.test("Serial output reaches main, which is woken for the first byte only", () => {
  const { serial, counts, send } = port();
  assertEquals(serial.takeOutput(), null);
  send("hello");
  assertEquals(counts.wakes, 1);
  assertEquals(text(serial.takeOutput()), "hello");
  assertEquals(serial.takeOutput(), null);
  send("!");
  assertEquals(counts.wakes, 2);
  assertEquals(text(serial.takeOutput()), "!");
});

Deno.test("A full transmit ring refuses the byte until main has taken some", () => {
  const { serial } = port();
  for (let i = 0; i < 65536; i++) {
    assertEquals(serial.write(0, i & 0xff), true);
  }
  assertEquals(serial.write(0, 0x55), false);
  const taken = serial.takeOutput()!;
  assertEquals([taken.length, taken[0], taken[65535]], [65536, 0, 0xff]);
  assertEquals(serial.write(0, 0x55), true);
  assertEquals(serial.takeOutput(), bytes(0x55));
});

Deno.test("The transmit ring keeps its order over its end", () => {
  const { serial, send } = port();
  for (let i = 0; i < 65530; i++) serial.write(0, 0);
  serial.takeOutput();
  send("across the end");
  assertEquals(text(serial.takeOutput()), "across the end");
});

Deno.test("Serial input is read byte by byte, LSR says when there is more", () => {
  const { serial } = port();
  assertEquals(serial.read(5), 0x60);
  assertEquals(serial.giveInput(bytes(0x41, 0x42)), 2);
  assertEquals(serial.read(5), 0x61);
  assertEquals([serial.read(0), serial.read(0)], [0x41, 0x42]);
  assertEquals(serial.read(5), 0x60);
  assertEquals(serial.read(0), 0);
});

Deno.test("Main gives what fits, and is woken when there is room again", () => {
  const { serial, counts } = port();
  assertEquals(serial.giveInput(new Uint8Array(5000)), 4096);
  assertEquals(counts.wakes, 0);
  serial.read(0);
  assertEquals(counts.wakes, 1);
  serial.read(0);
  assertEquals(counts.wakes, 1, "once is enough");
  assertEquals(serial.giveInput(new Uint8Array(904)), 2);
  assertEquals(serial.read(5) & 0x02, 0, "nothing was overrun");
});

Deno.test("Clearing the receive FIFO makes room, and wakes main for the rest", () => {
  const { serial, counts } = port();
  serial.giveInput(new Uint8Array(5000));
  serial.write(2, 0x03);
  assertEquals(serial.read(5) & 0x01, 0);
  assertEquals(counts.wakes, 1);
  assertEquals(serial.giveInput(new Uint8Array(904)), 904);
});

Deno.test("IIR names received data before the empty transmitter", () => {
  const { serial, counts } = port();
  assertEquals(serial.read(2), 0x01);
  serial.write(1, 0x03);
  assertEquals(counts.interrupts, 1, "the transmitter is empty");
  serial.giveInput(bytes(1));
  assertEquals(counts.interrupts, 2);
  assertEquals(serial.read(2), 0x04);
  assertEquals(serial.read(2), 0x04, "until the byte is read");
  serial.read(0);
  assertEquals(serial.read(2), 0x02);
  assertEquals(serial.read(2), 0x01, "reading IIR clears it");
});

Deno.test("The empty transmitter interrupts again at each byte and each switch-on", () => {
  const { serial, counts } = port();
  serial.write(0, 0x41);
  assertEquals(counts.interrupts, 0);
  serial.write(1, 0x02);
  assertEquals([counts.interrupts, serial.read(2)], [1, 0x02]);
  serial.write(0, 0x42);
  assertEquals([counts.interrupts, serial.read(2)], [2, 0x02]);
  serial.write(1, 0x00);
  assertEquals(serial.read(2), 0x01);
  serial.write(1, 0x02);
  assertEquals([counts.interrupts, serial.read(2)], [3, 0x02]);
  serial.write(1, 0x02);
  assertEquals([counts.interrupts, serial.read(2)], [3, 0x01]);
});

Deno.test("Received data interrupts when it comes, when it is switched on, and while more is there", () => {
  const { serial, counts } = port();
  serial.giveInput(bytes(1, 2));
  assertEquals(counts.interrupts, 0);
  serial.write(1, 0x01);
  assertEquals(counts.interrupts, 1);
  serial.read(0);
  assertEquals(counts.interrupts, 2);
  serial.read(0);
  assertEquals(counts.interrupts, 2);
});

Deno.test("IIR shows the FIFOs once FCR switched them on", () => {
  const { serial } = port();
  serial.write(2, 0x01);
  assertEquals(serial.read(2), 0xc1);
});

Deno.test("DLAB puts the divisor in place of data and IER", () => {
  const { serial } = port();
  serial.write(1, 0x05);
  serial.write(3, 0x83);
  serial.write(0, 0x0c);
  serial.write(1, 0x7f);
  assertEquals([serial.read(0), serial.read(1), serial.read(3)], [
    0x0c,
    0x7f,
    0x83,
  ]);
  serial.write(3, 0x03);
  assertEquals([serial.read(0), serial.read(1)], [0, 0x05]);
  assertEquals(serial.takeOutput(), null);
});

Deno.test("Loopback brings data and modem lines back, and nothing gets out", () => {
  const { serial, counts } = port();
  assertEquals(serial.read(6), 0xb0);
  serial.write(4, 0x1a); // LOOP | OUT2 | RTS, as Linux probes
  assertEquals(serial.read(6), 0x90);
  serial.write(4, 0x15); // LOOP | OUT1 | DTR
  assertEquals(serial.read(6), 0x60);
  serial.write(1, 0x01);
  serial.write(0, 0x5a);
  assertEquals(counts.interrupts, 1);
  assertEquals([serial.read(2), serial.read(0)], [0x04, 0x5a]);
  assertEquals(serial.takeOutput(), null);
});

Deno.test("Too much in loopback is an overrun, told once", () => {
  const { serial } = port();
  serial.write(4, 0x10);
  for (let i = 0; i < 4096; i++) serial.write(0, 0);
  assertEquals(serial.read(5), 0x61);
  assertEquals(serial.write(0, 0), true);
  assertEquals(serial.read(5), 0x63);
  assertEquals(serial.read(5), 0x61);
});

Deno.test("The scratch register keeps a byte, MCR five bits, IER four", () => {
  const { serial } = port();
  serial.write(7, 0x1a5);
  serial.write(4, 0xff);
  serial.write(1, 0xf0);
  serial.write(5, 0xff);
  serial.write(6, 0xff);
  assertEquals(
    [serial.read(7), serial.read(4), serial.read(1)],
    [0xa5, 0x1f, 0x00],
  );
});

Deno.test("No byte of a writer on another thread waits for a wake-up that never comes", async () => {
  const page = createSerialPage();
  const bell = new Int32Array(new SharedArrayBuffer(4));
  const serial = new SerialPort(page, {
    interrupt: () => {},
    wakeMain: () => {
      Atomics.add(bell, 0, 1);
      Atomics.notify(bell, 0);
    },
  });
  const module = new URL("../../../core/bus/serial.ts", import.meta.url).href;
  const code = `import { SerialPort } from ${JSON.stringify(module)};
    self.onmessage = ({ data: { page, bell, count } }) => {
      const serial = new SerialPort(page, { interrupt() {}, wakeMain() {
        Atomics.add(bell, 0, 1); Atomics.notify(bell, 0); } });
      // Slower than main takes it, so that the ring is seldom full and the writer is always in main's way.
      for (let i = 0; i < count; i++) {
        for (let pause = 0; pause < 30; pause++) Atomics.load(bell, 0);
        while (!serial.write(0, i & 0xff));
      }
    };`;
  const url = URL.createObjectURL(
    new Blob([code], { type: "text/javascript" }),
  );
  const worker = new Worker(url, { type: "module" });
  const count = 300_000;
  worker.postMessage({ page, bell, count });
  const deadline = performance.now() + PATIENCE_MS;
  let received = 0;
  let inOrder = true;
  while (received < count) {
    const seen = Atomics.load(bell, 0);
    const output = serial.takeOutput();
    if (output !== null) inOrder &&= output[0] === (received & 0xff);
    received += output?.length ?? 0;
    if (received === count) break;
    const turn = Atomics.waitAsync(bell, 0, seen, 4000);
    // A timer keeps the test alive while it waits.
    const alive = setTimeout(() => {}, 5000);
    const result = turn.async ? await turn.value : turn.value;
    clearTimeout(alive);
    // A host under load may be slow; a byte that lies there and was not told of is lost.
    const isOver = performance.now() > deadline;
    if (result === "timed-out" && (serial.takeOutput() !== null || isOver)) {
      break;
    }
  }
  worker.terminate();
  URL.revokeObjectURL(url);
  assertEquals([received, inOrder], [count, true]);
});
