import { useEffect, useState } from "react";

/** Loading, shown only if it takes long enough to be noticed. */
export function Loading({ what }: { what: string }) {
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 300);
    return () => clearTimeout(timer);
  }, []);
  return <p className="empty" role="status">{isSlow && `Loading ${what} …`}</p>;
}

export function Failed({ message, again }: { message: string; again?: () => void }) {
  return (
    <div className="empty" role="alert">
      <p>{message}</p>
      {again && <button onClick={again}>Try again</button>}
    </div>
  );
}
