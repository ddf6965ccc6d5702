import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./app";
import { begin } from "./session/session";
import "./style.css";

void begin();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
