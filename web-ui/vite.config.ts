/**
 * The build: one folder of static files that the binary embeds. Paths are relative, so the page also works below a prefix.
 * `vite` and `vite preview` send what is not the page on to a running cluster (MILLRACE, 127.0.0.1:8081 unless set).
 */
import { defineConfig } from "vitest/config";

const cluster = `http://${process.env.MILLRACE ?? "127.0.0.1:8081"}`;
const proxy = { "/v1": { target: cluster, changeOrigin: true } };

export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic" },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    rollupOptions: {
      // Directives for servers that render React mean nothing here.
      onwarn: (warning, warn) => {
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") warn(warning);
      },
      output: { manualChunks: { react: ["react", "react-dom", "react-dom/client"] } },
    },
  },
  worker: { format: "es" },
  server: { proxy },
  preview: { proxy },
  test: { include: ["src/**/*.test.ts"] },
});
