// Says that it wrote more than the chain has room for.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: () => ({
    queues: {
      requestq: ({ writable, capacity }) => writable.fill(7, capacity) + 1,
    },
  }),
});
