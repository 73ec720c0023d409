import { assertEquals } from "@std/assert";
import { ByteChannel } from "../../../core/bus/byte_channel.ts";
import { SerialConsole } from "../../../core/bus/serial_console.ts";
import { createSerialPage, SerialPort } from "../../../core/bus/serial.ts";
import { within } from "../../support/wait.ts";

const KiB = 1024;

function channel() {
  const taken: number[] = [];
  return { taken, channel: new ByteChannel((length) => taken.push(length)) };
}
const chunk = (length: number, value = 0) => new Uint8Array(length).fill(value);
const sum = (numbers: number[]) => numbers.reduce((all, one) => all + one, 0);

Deno.test("ByteChannel keeps the last 64 KiB while nobody reads, and lets the rest go", () => {
  const { channel: output, taken } = channel();
  for (let i = 0; i < 100; i++) output.push(chunk(10 * KiB, i));
  assertEquals(output.pending, 60 * KiB);
  assertEquals(sum(taken), 940 * KiB);
});

Deno.test("ByteChannel gives a reader what was kept, then what comes", async () => {
  const { channel: output, taken } = channel();
  output.push(chunk(3, 1));
  const reader = output.readable.getReader();
  assertEquals((await reader.read()).value, chunk(3, 1));
  const next = reader.read();
  output.push(chunk(4, 2));
  assertEquals((await next).value, chunk(4, 2));
  assertEquals(taken, [3, 4]);
});

Deno.test("ByteChannel takes nothing off the hands of a reader that does not read", async () => {
  const { channel: output, taken } = channel();
  const reader = output.readable.getReader();
  for (let i = 0; i < 20; i++) output.push(chunk(10 * KiB));
  assertEquals(taken, []);
  assertEquals(output.pending, 200 * KiB);
  await reader.read();
  assertEquals(taken, [10 * KiB]);
});

Deno.test("ByteChannel joins small chunks that nobody has read yet, and tells each byte once", async () => {
  const { channel: output, taken } = channel();
  const reader = output.readable.getReader();
  const length = 100 * KiB;
  for (let i = 0; i < length; i++) output.push(chunk(1, i % 251));
  assertEquals(output.pending, length);
  let read = 0;
  let chunks = 0;
  for (; read < length; chunks++) {
    const { value } = await within(reader.read());
    assertEquals(value!.every((byte) => byte === read++ % 251), true);
  }
  assertEquals(chunks, 25);
  assertEquals(sum(taken), length);
});

Deno.test("ByteChannel lets go of what a reader left behind", async () => {
  const { channel: output, taken } = channel();
  const reader = output.readable.getReader();
  for (let i = 0; i < 20; i++) output.push(chunk(10 * KiB));
  await reader.cancel();
  assertEquals(output.pending, 60 * KiB);
  assertEquals(sum(taken), 140 * KiB);
});

Deno.test("ByteChannel loses nothing to a reader that left while it waited", async () => {
  const { channel: output } = channel();
  const reader = output.readable.getReader();
  const waiting = reader.read();
  await new Promise((go) => setTimeout(go, 0));
  await reader.cancel();
  assertEquals((await waiting).done, true);
  output.push(chunk(5, 7));
  const second = output.readable.getReader();
  assertEquals((await within(second.read())).value, chunk(5, 7));
});

Deno.test("ByteChannel ends its stream at close, after what was left", async () => {
  const { channel: output } = channel();
  output.push(chunk(5));
  output.close();
  output.push(chunk(6));
  const reader = output.readable.getReader();
  assertEquals((await reader.read()).value?.length, 5);
  assertEquals((await within(reader.read())).done, true);
  const { channel: other } = channel();
  const waiting = other.readable.getReader().read();
  other.close();
  assertEquals((await within(waiting)).done, true);
});

function serial() {
  let wakes = 0;
  const wake = () => void wakes++;
  const port = new SerialPort(createSerialPage(), {
    interrupt: () => {},
    wakeMain: wake,
  });
  return { port, console: new SerialConsole(port, wake) };
}

/** Writes as a guest that prints, with main's turns between; returns bytes until the port refuses. */
function print(
  { port, console }: ReturnType<typeof serial>,
  length: number,
): number {
  for (let done = 0; done < length; done++) {
    if (done % 1000 === 0) console.turn();
    if (!port.write(0, done & 0xff)) return done;
  }
  return length;
}

Deno.test("SerialConsole never stalls a guest that nobody reads", () => {
  assertEquals(print(serial(), 2_000_000), 2_000_000);
});

Deno.test("SerialConsole holds a guest whose reader is slow, within bounds", async () => {
  const both = serial();
  const reader = both.console.readable.getReader();
  const printed = print(both, 2_000_000);
  assertEquals(printed < 512 * KiB, true);
  let read = 0;
  while (read < printed) {
    const { value } = await within(reader.read());
    read += value!.length;
    both.console.turn();
  }
  assertEquals(read, printed);
  assertEquals(both.port.write(0, 0), true);
});

Deno.test("SerialConsole gives input as the guest takes it", async () => {
  const { port, console } = serial();
  const writer = console.writable.getWriter();
  let done = false;
  const written = writer.write(chunk(5000, 9)).then(() => done = true);
  await new Promise((go) => setTimeout(go, 0));
  assertEquals(done, false);
  for (let i = 0; i < 1000; i++) assertEquals(port.read(0), 9);
  console.turn();
  await within(written);
  for (let i = 0; i < 4000; i++) assertEquals(port.read(0), 9);
  assertEquals(port.read(5) & 0x01, 0);
});

Deno.test("SerialConsole lets a writer go at close and after it", async () => {
  const { console } = serial();
  const writer = console.writable.getWriter();
  const stuck = writer.write(chunk(5000));
  await new Promise((go) => setTimeout(go, 0));
  console.close();
  await within(stuck);
  await within(writer.write(chunk(50_000)));
});
