/** Light or dark: as the system says, unless the person chose. */

export type Theme = "system" | "light" | "dark";

const KEY = "stageline-theme";

export function chosen(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

export function choose(theme: Theme): void {
  if (theme === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  apply();
}

/** Change to the other one of light and dark. */
export function toggle(): void {
  const isDark = chosen() === "dark" || (chosen() === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  choose(isDark ? "light" : "dark");
}

/** Draw the page, and all tabs, as the person chose. */
export function apply(): void {
  document.documentElement.dataset["theme"] = chosen();
}

addEventListener("storage", ({ key }) => key === KEY && apply());
