// Takes the access token out of the address (…/graphql#token=…), where a link may have put it, before anything else
// runs. The part after the # never reaches the server, and is gone from the address and the history right here.
(() => {
  "use strict";

  function take() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given === null) return false;
    history.replaceState(null, "", location.pathname + location.search);
    if (given.trim()) sessionStorage.setItem("stageline-token", given.trim());
    return Boolean(given.trim());
  }

  take();
  // Following such a link while the page is open changes the address only.
  addEventListener("hashchange", () => {
    if (take()) location.reload();
  });
})();
