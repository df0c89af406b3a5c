import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.test.ts"],
    testTimeout: process.env.IOASID_NIGHTLY ? 3_600_000 : 120_000,
    pool: "threads",
    maxWorkers: 2,
  },
});
