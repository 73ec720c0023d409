// Thread: main
// The part of the ACPI Machine Language that a virtual machine's DSDT needs (ACPI 6.5 §20.2).

/** A run of encoded AML bytes. */
export type Aml = readonly number[];

/** The low `size` bytes of a non-negative integer below 2^53, least significant first. */
export function littleEndian(value: number, size: number): number[] {
  return Array.from(
    { length: size },
    (_, i) => Math.floor(value / 2 ** (8 * i)) % 256,
  );
}

export function ascii(text: string): number[] {
  return Array.from(text, (char) => char.charCodeAt(0));
}

/** ComputationalData: a 32-bit unsigned integer in the shortest form (§20.2.3). */
export function integer(value: number): Aml {
  if (value <= 1) return [value];
  if (value <= 0xff) return [0x0a, value];
  if (value <= 0xffff) return [0x0b, ...littleEndian(value, 2)];
  return [0x0c, ...littleEndian(value, 4)];
}

/** ComputationalData: a string with its NUL (§20.2.3). */
export function string(text: string): Aml {
  return [0x0d, ...ascii(text), 0];
}

/** The integer that stands for a PNP id of three letters and four hex digits (§19.6, EISAID). */
export function eisaId(id: string): Aml {
  const [a = 0, b = 0, c = 0] = ascii(id).map((code) => code - 0x40);
  const vendor = a << 10 | b << 5 | c;
  const product = parseInt(id.slice(3), 16);
  return [0x0c, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff];
}

/** DefName: `Name (segment, value)`. */
export function name(segment: string, value: Aml): Aml {
  return [0x08, ...nameString(segment), ...value];
}

/** DefScope: `Scope (path) { … }`. */
export function scope(path: string, ...terms: Aml[]): Aml {
  return [0x10, ...withLength([...nameString(path), ...terms.flat()])];
}

/** DefDevice: `Device (segment) { … }`. */
export function device(segment: string, ...terms: Aml[]): Aml {
  return [0x5b, 0x82, ...withLength([...nameString(segment), ...terms.flat()])];
}

/** DefPackage: `Package () { … }`. */
export function packageOf(...elements: Aml[]): Aml {
  return [0x12, ...withLength([elements.length, ...elements.flat()])];
}

/** `ResourceTemplate () { … }`: a buffer that ends in an End Tag without checksum (§6.4.2.9). */
export function resourceTemplate(...descriptors: Aml[]): Aml {
  const bytes = [...descriptors.flat(), 0x79, 0];
  return [0x11, ...withLength([...integer(bytes.length), ...bytes])];
}

/** `Memory32Fixed (ReadWrite, base, size)` (§6.4.3.4). */
export function memory32Fixed(base: number, size: number): Aml {
  return [0x86, 9, 0, 1, ...littleEndian(base, 4), ...littleEndian(size, 4)];
}

/** `Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { gsi }` (§6.4.3.6). */
export function edgeInterrupt(gsi: number): Aml {
  return [0x89, 6, 0, 0b0011, 1, ...littleEndian(gsi, 4)];
}

/** `IO (Decode16, port, port, 1, size)` (§6.4.2.5). */
export function ioPorts(port: number, size: number): Aml {
  return [0x47, 1, ...littleEndian(port, 2), ...littleEndian(port, 2), 1, size];
}

/** NameString of one segment, which may start at the root (§20.2.2). */
function nameString(path: string): Aml {
  const root = path.startsWith("\\");
  return ascii((root ? "\\" : "") + path.slice(root ? 1 : 0).padEnd(4, "_"));
}

/** PkgLength and the bytes that it counts; the length includes its own encoding (§20.2.4). */
function withLength(body: Aml): Aml {
  if (body.length + 1 < 1 << 6) return [body.length + 1, ...body];
  const size = body.length + 2 < 1 << 12 ? 2 : 3;
  const length = body.length + size;
  const lead = (size - 1) << 6 | length & 0xf;
  return [lead, ...littleEndian(length >> 4, size - 1), ...body];
}
