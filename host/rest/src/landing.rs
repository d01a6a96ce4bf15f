//! What a browser sees until there is a dashboard.

use axum::response::Html;

/// `GET /`.
pub(crate) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Millrace</title>
<style>body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em; color-scheme: light dark }</style>
<h1>Millrace</h1>
<p>This cluster is up. It speaks Flink's REST API:</p>
<ul>
<li><a href="/v1/overview">/v1/overview</a> – slots and jobs in figures
<li><a href="/v1/jobs/overview">/v1/jobs/overview</a> – the jobs
<li><a href="/v1/jars">/v1/jars</a> – the uploaded bundles
<li><a href="/v1/taskmanagers">/v1/taskmanagers</a> – the TaskManagers
</ul>
<p>On the command line: <code>millrace run BUNDLE</code>, <code>millrace list</code>, <code>millrace logs JOB</code>.</p>
</html>
"#;
