// A device of a kind that no standard knows: it counts metres. One queue takes them, configuration space shows them.
import { defineDevice } from "@paddock/paddock/plugin";

export default defineDevice({
  id: 60, // why this one: README.md
  queues: { rides: 16 },
  config: {
    /** Metres of all rides; after 2^32 it starts over, as its wheels would. */
    total: "u32",
    /** Metres since the driver last wrote to this field, whatever it wrote: the button for a new trip. */
    trip: { type: "u32", writable: true },
  },
  create({ config, updateConfig }) {
    return {
      queues: {
        // A ride: the driver gives its metres as a u32, and room for another, the total.
        rides({ readable, writable }) {
          const metres = readable.u32();
          const total = (config.total + metres) % 2 ** 32;
          const trip = (config.trip + metres) % 2 ** 32;
          // The driver is told of this by an interrupt.
          updateConfig({ total, trip });
          return writable.write(new Uint8Array(Uint32Array.of(total).buffer));
        },
      },
      configWritten: () => updateConfig({ trip: 0 }),
    };
  },
});
