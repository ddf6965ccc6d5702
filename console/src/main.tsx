import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./app";
import { begin } from "./session/session";
import { apply } from "./parts/theme";
import "./style.css";

apply();
void begin();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
