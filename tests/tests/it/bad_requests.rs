//! Requests that are wrong: a client's mistake is never a 500, and its answer names it.

use anyhow::Result;
use millrace_client::api::Errors;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::repository;
use reqwest::Method;

async fn errors(cluster: &Cluster, method: Method, path: &str, body: Option<&str>) -> Result<(u16, String)> {
    let (status, text) = cluster.client.raw(method, path, body.map(str::to_owned)).await?;
    let errors: Errors = serde_json::from_str(&text).map_err(|error| anyhow::anyhow!("{path}: {error}: {text}"))?;
    Ok((status.as_u16(), errors.errors.join("\n")))
}

#[tokio::test]
async fn malformed_bodies_and_unknown_fields_are_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let id = cluster.client.upload(&repository::bundle("faulty")?).await?;
    for verb in ["run", "plan"] {
        let path = format!("/jars/{id}/{verb}");
        let cases = [
            ("{", "EOF"),
            ("[1]", "expected"),
            ("{\"foo\": 1}", "foo"),
            ("{\"parallelism\": \"many\"}", "many"),
            ("{\"parallelism\": 0}", "parallelism is 0"),
            ("{\"parallelism\": -3}", "parallelism"),
            ("{\"parallelism\": 99999999}", "parallelism"),
            ("{\"entryClass\": \"no.Such\"}", "no.Such"),
            ("{\"flinkConfiguration\": {\"no.such.option\": \"1\"}}", "no.such.option"),
            ("{\"jobId\": \"nothex\"}", "nothex"),
        ];
        for (body, expected) in cases {
            let (status, text) = errors(&cluster, Method::POST, &path, Some(body)).await?;
            assert_eq!(status, 400, "{path} {body}: {text}");
            assert!(text.contains(expected), "{path} {body}: \"{expected}\" is missing in: {text}");
        }
    }
    let savepoint = "{\"savepointPath\": \"/somewhere\"}";
    let (status, text) = errors(&cluster, Method::POST, &format!("/jars/{id}/run"), Some(savepoint)).await?;
    assert!(status == 400 && text.contains("savepoint") && text.contains("/somewhere"), "{text}");
    let (status, text) = errors(&cluster, Method::POST, "/jars/upload", Some("{}")).await?;
    assert!(status == 400 && text.contains("multipart"), "{status}: {text}");
    Ok(())
}

#[tokio::test]
async fn what_does_not_exist_is_404_and_what_is_no_id_is_400() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let nowhere = "f".repeat(32);
    let bundle = format!("{}_x.mrb", "0".repeat(64));
    let cases = [
        (Method::GET, format!("/jobs/{nowhere}"), 404, "not found"),
        (Method::GET, "/jobs/nothex".to_owned(), 400, "jobid"),
        (Method::PATCH, format!("/jobs/{nowhere}?mode=cancel"), 404, "not found"),
        (Method::PATCH, format!("/jobs/{nowhere}?mode=bogus"), 400, "mode"),
        (Method::GET, format!("/jobs/{nowhere}/vertices/{nowhere}"), 404, "not found"),
        (Method::GET, format!("/jobs/{nowhere}/results?from=x"), 400, "from"),
        (Method::GET, "/taskmanagers/nosuch".to_owned(), 404, "nosuch"),
        (Method::GET, "/nosuch".to_owned(), 404, "/v1/nosuch"),
        (Method::DELETE, "/overview".to_owned(), 404, "/v1/overview"),
        (Method::POST, "/jars/nosuch.jar/run".to_owned(), 404, "nosuch.jar"),
        (Method::POST, format!("/jars/{bundle}/run"), 404, "does not exist"),
        (Method::DELETE, format!("/jars/{bundle}"), 400, "does not exist"),
    ];
    for (method, path, expected, text) in cases {
        let (status, found) = errors(&cluster, method.clone(), &path, None).await?;
        assert_eq!(status, expected, "{method} {path}: {found}");
        assert!(found.contains(text), "{method} {path}: \"{text}\" is missing in: {found}");
    }
    Ok(())
}

#[tokio::test]
async fn paths_outside_of_the_roots_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    std::fs::create_dir(&root)?;
    std::fs::write(root.join("in.txt"), "a b a\n")?;
    std::fs::write(folder.path().join("secret.txt"), "secret\n")?;
    std::os::unix::fs::symlink(folder.path().join("secret.txt"), root.join("link.txt"))?;
    let cluster = Cluster::start(folder.path(), &["--file-root", root.to_str().unwrap()])?;
    let bundle = repository::bundle("wordcount")?;
    let (inside, output) = (root.join("in.txt"), root.join("out"));
    let climbing = root.join("../secret.txt");
    let outside = folder.path().join("secret.txt");
    let elsewhere = folder.path().join("out");
    for (input, output) in
        [(&outside, &output), (&climbing, &output), (&root.join("link.txt"), &output), (&inside, &elsewhere)]
    {
        let args = vec!["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let run = cluster.run(&bundle, Run { args, ..Run::default() }).await;
        let refused = match run {
            // What only shows when files are listed fails the job instead of the request.
            Ok(job) => cluster.wait_failed(&job).await?,
            Err(error) => error.to_string(),
        };
        assert!(refused.contains("root"), "{}: {refused}", input.display());
        assert!(!refused.contains("secret\n"));
    }
    assert!(!elsewhere.exists());
    let args = vec!["--input", inside.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let job = cluster.run(&bundle, Run { args, ..Run::default() }).await?;
    cluster.wait_finished(&job).await?;
    assert_eq!(millrace_tests::rows::sorted_rows(&output)?, ["a,2", "b,1"]);
    Ok(())
}

#[tokio::test]
async fn a_missing_file_and_a_bad_record_fail_the_job_by_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let output = folder.path().join("out");
    let bad = folder.path().join("flights.csv");
    std::fs::write(&bad, "origin,dep_delay\nJFK,5\nLGA,soon\n")?;
    let missing = folder.path().join("nowhere.csv");
    for (input, texts) in [(&missing, vec!["nowhere.csv"]), (&bad, vec!["soon", "parse"])] {
        let args = vec!["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let run = cluster.run(&repository::bundle("flights")?, Run { args, ..Run::default() }).await;
        let failure = match run {
            Ok(job) => cluster.wait_failed(&job).await?,
            Err(error) => error.to_string(),
        };
        for text in texts {
            assert!(failure.contains(text), "\"{text}\" is missing in: {failure}");
        }
    }
    assert!(!output.exists() || millrace_tests::rows::sorted_rows(&output)?.is_empty(), "half results are visible");
    Ok(())
}
