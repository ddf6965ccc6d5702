import { useState } from "react";

interface Props {
  label: string;
  name: string;
  /** Save the name; null leaves it. */
  save: (name: string | null) => void;
}

/** A name that is edited in its place: Enter saves, Escape and leaving do not. */
export function Rename({ label, name, save }: Props) {
  const [text, setText] = useState(name);
  return (
    <input
      aria-label={label}
      value={text}
      autoFocus
      onFocus={(event) => event.target.select()}
      onChange={(event) => setText(event.target.value)}
      onBlur={() => save(null)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") save(text.trim());
        else if (event.key === "Escape") save(null);
      }}
    />
  );
}
