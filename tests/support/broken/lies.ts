// Says that it filled the chain, and writes one byte.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: () => ({
    queues: {
      requestq({ writable, capacity }) {
        writable.u8(7);
        return capacity;
      },
    },
  }),
});
