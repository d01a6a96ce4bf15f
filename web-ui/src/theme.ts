/** Mantine in Millrace's colours. The tokens themselves stand in styles/tokens.css. */
import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

/** Water over a mill wheel; shade 7 carries white text with a contrast of 5.5. */
const mill: MantineColorsTuple = [
  "#e6f6f9", "#d3ebf0", "#a6d6e0", "#76c0d0", "#4fadc1", "#379fb6", "#2897b0", "#0b7285", "#09687a", "#065867",
];

const danger: MantineColorsTuple = [
  "#fdecec", "#f9d6d6", "#f0aaaa", "#e87b7b", "#e15353", "#dd3a3a", "#db2d2d", "#b42323", "#a01e1e", "#8c1717",
];

/** The neutrals of tokens.css, where Mantine looks for its own. */
const dark: MantineColorsTuple = [
  "#e4e9ee", "#c2cad3", "#9ba7b4", "#7b8794", "#4a5664", "#39434f", "#222a33", "#181e25", "#141a20", "#11151a",
];

const sans = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'Liberation Sans', sans-serif";

export const theme = createTheme({
  primaryColor: "mill",
  colors: { mill, danger, dark },
  primaryShade: { light: 7, dark: 7 },
  fontFamily: sans,
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'Cascadia Mono', 'Liberation Mono', monospace",
  headings: { fontFamily: sans, fontWeight: "600" },
  fontSizes: { xs: "0.75rem", sm: "0.8125rem", md: "0.875rem", lg: "1rem", xl: "1.125rem" },
  defaultRadius: "sm",
  cursorType: "pointer",
  components: {
    Button: { defaultProps: { size: "xs" } },
    TextInput: { defaultProps: { size: "xs" } },
    NumberInput: { defaultProps: { size: "xs" } },
    Textarea: { defaultProps: { size: "xs" } },
    Select: { defaultProps: { size: "xs" } },
    Checkbox: { defaultProps: { size: "xs" } },
    Modal: { defaultProps: { centered: true, closeButtonProps: { "aria-label": "Close" } } },
  },
});

export const cssVariables: CSSVariablesResolver = () => {
  const shared = {
    "--mantine-color-body": "var(--m-surface)",
    "--mantine-color-text": "var(--m-text)",
    "--mantine-color-dimmed": "var(--m-dim)",
    "--mantine-color-placeholder": "var(--m-dim)",
    "--mantine-color-anchor": "var(--m-accent)",
    "--mantine-color-error": "var(--m-bad)",
    "--mantine-color-default": "var(--m-surface)",
    "--mantine-color-default-hover": "var(--m-hover)",
    "--mantine-color-default-border": "var(--m-line-strong)",
  };
  return { variables: {}, light: shared, dark: shared };
};
