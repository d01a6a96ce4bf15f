/** The shell: skip link, header, and the page that the route names. Pages load when they are first visited. */
import { lazy, Suspense, useEffect, useRef } from "react";
import { ClusterLive, useClusterStream } from "./live/useStreams";
import { Overview } from "./pages/overview/Overview";
import { Link, type Route, useRoute } from "./router";
import { Header } from "./shell/Header";
import { Loading, Notice } from "./ui/states";

const JobPage = lazy(() => import("./pages/job/JobPage"));
const SubmitPage = lazy(() => import("./pages/submit/SubmitPage"));
const TaskManagersPage = lazy(() => import("./pages/taskmanagers/TaskManagersPage"));
const TaskManagerPage = lazy(() => import("./pages/taskmanagers/TaskManagerPage"));
const JobManagersPage = lazy(() => import("./pages/jobmanagers/JobManagersPage"));

export function App() {
  const live = useClusterStream();
  const route = useRoute();
  const main = useRef<HTMLElement>(null);
  const page = route.path.slice(0, 2).join("/");
  const shown = useRef(page);

  // Who follows a link with the keyboard or hears the page goes on at its beginning.
  useEffect(() => {
    if (shown.current === page) return;
    shown.current = page;
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [page]);

  return (
    <ClusterLive.Provider value={live}>
      <a className="skip-link" href="#main" onClick={(event) => {
        event.preventDefault();
        main.current?.focus();
      }}>
        Skip to content
      </a>
      <div className="shell">
        <Header current={route.path[0] ?? "overview"} />
        <main id="main" className="page" tabIndex={-1} ref={main}>
          <Suspense fallback={<Loading label="Loading the page" />}>{pageOf(route)}</Suspense>
        </main>
      </div>
    </ClusterLive.Provider>
  );
}

function pageOf(route: Route) {
  const [page, id] = route.path;
  switch (page) {
    case undefined:
    case "overview":
      return <Overview />;
    case "job":
      return id === undefined ? <Overview /> : <JobPage key={id} id={id} route={route} />;
    case "submit":
      return <SubmitPage route={route} />;
    case "taskmanagers":
      return <TaskManagersPage />;
    case "taskmanager":
      return id === undefined ? <TaskManagersPage /> : <TaskManagerPage key={id} id={id} route={route} />;
    case "jobmanagers":
      return <JobManagersPage route={route} />;
    default:
      return (
        <>
          <h1 className="visually-hidden">No such page</h1>
          <Notice title="There is no such page">The address may be mistyped. <Link to={["overview"]}>To the overview</Link></Notice>
        </>
      );
  }
}
