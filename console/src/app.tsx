import { useEffect, useState, useSyncExternalStore } from "react";
import { Link, Route, Router, Switch } from "wouter";

import { Api } from "./api/client";
import { ApiContext } from "./api/context";
import { BASE } from "./base";
import { CommandCenter } from "./command/center";
import { DeploymentPage } from "./deployment/page";
import { EnvironmentPage } from "./environment/page";
import { Home } from "./home/home";
import { Shell } from "./parts/shell";
import { RolePage } from "./role/page";
import * as session from "./session/session";
import { OfferPage } from "./session/offer";
import { SignIn } from "./session/sign-in";
import { ViewerProvider } from "./session/viewer";
import { TokenPage } from "./token/page";
import { WebhookPage } from "./webhook/page";

export function App() {
  const now = useSyncExternalStore(session.subscribe, session.current);
  if (now.state === "asking") return null;
  if (now.state === "offered") return <OfferPage {...now} />;
  if (now.state === "out") return <SignIn why={now.why} />;
  return <Console key={now.secret} secret={now.secret} />;
}

function Console({ secret }: { secret: string }) {
  const [api, setApi] = useState<Api>();
  useEffect(() => {
    const opened = new Api(secret);
    setApi(opened);
    return () => opened.close();
  }, [secret]);
  if (!api) return null;
  return (
    <ApiContext value={api}>
      <ViewerProvider>
        <Router base={BASE}>
          <CommandCenter />
          <Switch>
            <Route path="/">
              <Home />
            </Route>
            <Route path="/tokens">
              <TokenPage />
            </Route>
            <Route path="/roles">
              <RolePage />
            </Route>
            <Route path="/webhooks">
              <WebhookPage />
            </Route>
            <Route path="/environments/:environment/:tab?">
              {({ environment, tab }) => <EnvironmentPage key={environment} id={environment} tab={tab ?? "board"} />}
            </Route>
            <Route path="/deployments/:deployment/:part?">
              {({ deployment, part }) => <DeploymentPage key={deployment} id={deployment} part={part ?? "stages"} />}
            </Route>
            <Route>
              <Shell title="Not found">
                <div className="empty">
                  <p>There is no such page.</p>
                  <Link href="/">All environments</Link>
                </div>
              </Shell>
            </Route>
          </Switch>
        </Router>
      </ViewerProvider>
    </ApiContext>
  );
}
