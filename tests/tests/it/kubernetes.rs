//! The manifests in `deploy/kubernetes`: each is what Kubernetes' own types take, to the last key, they fit together, and the
//! binary takes the command lines in them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Container, PersistentVolumeClaim, PodTemplateSpec, Probe, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use millrace_tests::cluster::Cluster;
use millrace_tests::deployment::{self, value_of};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All that is there, by kind.
#[derive(Default)]
struct Manifests {
    config_maps: Vec<ConfigMap>,
    claims: Vec<PersistentVolumeClaim>,
    services: Vec<Service>,
    stateful_sets: Vec<StatefulSet>,
    deployments: Vec<Deployment>,
    budgets: Vec<PodDisruptionBudget>,
    policies: Vec<NetworkPolicy>,
}

type Labels = BTreeMap<String, String>;

impl Manifests {
    fn read() -> Result<Self> {
        let mut found = Self::default();
        let folder = deployment::folder("kubernetes");
        for file in resources()? {
            let text = std::fs::read_to_string(folder.join(&file))?;
            for document in serde_norway::Deserializer::from_str(&text) {
                let value = Value::deserialize(document).with_context(|| file.clone())?;
                found.add(&value).with_context(|| format!("{file}: {}", value["metadata"]["name"]))?;
            }
        }
        Ok(found)
    }

    fn add(&mut self, value: &Value) -> Result<()> {
        match value["kind"].as_str().context("a kind")? {
            "ConfigMap" => self.config_maps.push(typed(value)?),
            "PersistentVolumeClaim" => self.claims.push(typed(value)?),
            "Service" => self.services.push(typed(value)?),
            "StatefulSet" => self.stateful_sets.push(typed(value)?),
            "Deployment" => self.deployments.push(typed(value)?),
            "PodDisruptionBudget" => self.budgets.push(typed(value)?),
            "NetworkPolicy" => self.policies.push(typed(value)?),
            other => bail!("this test does not know what a {other} is"),
        }
        Ok(())
    }

    fn job_managers(&self) -> Result<&StatefulSet> {
        ensure!(self.stateful_sets.len() == 1, "one StatefulSet");
        Ok(&self.stateful_sets[0])
    }

    fn task_managers(&self) -> Result<&Deployment> {
        ensure!(self.deployments.len() == 1, "one Deployment");
        Ok(&self.deployments[0])
    }

    fn pods(&self) -> Result<[&PodTemplateSpec; 2]> {
        let job_managers = self.job_managers()?.spec.as_ref().context("spec")?;
        let task_managers = self.task_managers()?.spec.as_ref().context("spec")?;
        Ok([&job_managers.template, &task_managers.template])
    }

    fn service(&self, name: &str) -> Result<&Service> {
        let found = self.services.iter().find(|service| service.metadata.name.as_deref() == Some(name));
        found.with_context(|| format!("no Service {name}"))
    }
}

/// The files that the kustomization names: all that there are.
fn resources() -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Kustomization {
        resources: Vec<String>,
    }
    let folder = deployment::folder("kubernetes");
    let text = std::fs::read_to_string(folder.join("kustomization.yaml"))?;
    let mut named = serde_norway::from_str::<Kustomization>(&text)?.resources;
    let mut there = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        there.push(entry?.file_name().to_string_lossy().into_owned());
    }
    there.retain(|name| name != "kustomization.yaml");
    there.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, there, "kustomization.yaml names every manifest");
    Ok(named)
}

/// A manifest as its type, which has to have taken all of it: what a type does not know it would leave out.
fn typed<T: DeserializeOwned + Serialize + Resource>(value: &Value) -> Result<T> {
    assert_eq!(value["apiVersion"], T::API_VERSION);
    let manifest: T = serde_json::from_value(value.clone())?;
    contains(&serde_json::to_value(&manifest)?, value, "")?;
    Ok(manifest)
}

/// Checks that all of a value is in another one.
fn contains(whole: &Value, part: &Value, at: &str) -> Result<()> {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().try_for_each(|(key, part)| {
            let at = format!("{at}.{key}");
            // An empty list or map may be left out.
            let empty = part.as_object().is_some_and(serde_json::Map::is_empty);
            match whole.get(key) {
                Some(whole) => contains(whole, part, &at),
                None if empty => Ok(()),
                None => bail!("{at} is not known"),
            }
        }),
        (Value::Array(whole), Value::Array(part)) => {
            ensure!(whole.len() == part.len(), "{at} has another length");
            whole
                .iter()
                .zip(part)
                .enumerate()
                .try_for_each(|(i, (whole, part))| contains(whole, part, &format!("{at}[{i}]")))
        }
        _ => {
            ensure!(whole == part, "{at} is read as {whole}");
            Ok(())
        }
    }
}

fn container(pod: &PodTemplateSpec) -> Result<&Container> {
    let spec = pod.spec.as_ref().context("spec")?;
    ensure!(spec.containers.len() == 1, "one container");
    Ok(&spec.containers[0])
}

fn labels(pod: &PodTemplateSpec) -> Labels {
    pod.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default()
}

fn selects(selector: Option<&Labels>, labels: &Labels) -> bool {
    selector.is_some_and(|selector| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// The ports of a container, by name.
fn ports(container: &Container) -> BTreeMap<&str, i32> {
    let ports = container.ports.iter().flatten();
    ports.filter_map(|port| Some((port.name.as_deref()?, port.container_port))).collect()
}

fn name_of(port: &IntOrString) -> Result<&str> {
    match port {
        IntOrString::String(name) => Ok(name),
        IntOrString::Int(number) => bail!("{number}: ports are named"),
    }
}

/// The arguments of a JobManager, as the shell of its pod makes them.
fn arguments_of_job_manager(container: &Container, pod: &str) -> Result<Vec<String>> {
    let command = container.command.clone().context("a command")?;
    assert_eq!(command[..2], ["/bin/sh", "-c"]);
    let place = tempfile::tempdir()?;
    let printer = place.path().join("millrace");
    std::fs::write(&printer, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n")?;
    std::fs::set_permissions(&printer, std::fs::Permissions::from_mode(0o700))?;
    let mut shell = Command::new(&command[0]);
    shell.args(&command[1..]).env_clear().env("HOSTNAME", pod).env("PATH", place.path());
    let output = shell.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// The arguments of a TaskManager, with its pod's name and address.
fn arguments_of_task_manager(container: &Container) -> Result<Vec<String>> {
    let set: BTreeSet<&str> = container.env.iter().flatten().map(|variable| variable.name.as_str()).collect();
    assert!(set.is_superset(&BTreeSet::from(["POD_NAME", "POD_IP"])), "{set:?}");
    let filled = |word: &String| word.replace("$(POD_NAME)", "millrace-taskmanager-7").replace("$(POD_IP)", "10.1.2.3");
    let words: Vec<String> = container.command.iter().flatten().map(filled).collect();
    assert!(words.iter().all(|word| !word.contains("$(")), "{words:?}");
    assert_eq!(words[0], "millrace");
    Ok(words[1..].to_vec())
}

/// The members that a StatefulSet makes: a number and a name in the cluster's DNS each.
fn members(set: &StatefulSet) -> Result<Vec<(i32, String)>> {
    let spec = set.spec.as_ref().context("spec")?;
    let (name, service) = (set.metadata.name.as_deref().context("a name")?, spec.service_name.as_deref());
    let first = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default();
    let replicas = spec.replicas.context("replicas")?;
    let service = service.context("a service")?;
    Ok((first..first + replicas).map(|number| (number, format!("{name}-{number}.{service}"))).collect())
}

#[test]
fn every_job_manager_knows_itself_and_the_others() -> Result<()> {
    let manifests = Manifests::read()?;
    let set = manifests.job_managers()?;
    let container = container(manifests.pods()?[0])?;
    let (ports, members) = (ports(container), members(set)?);
    assert_eq!(members.len(), 3);
    let (rpc, rest) = (ports["rpc"], ports["rest"]);
    let peers: Vec<String> = members.iter().map(|(number, host)| format!("{number}={host}:{rpc}:{rest}")).collect();
    for (number, host) in &members {
        let pod = host.split('.').next().context("a pod")?;
        let arguments = arguments_of_job_manager(container, pod)?;
        deployment::check_arguments(&arguments)?;
        assert_eq!(arguments[0], "jobmanager");
        assert_eq!(value_of(&arguments, "--id")?, number.to_string());
        assert_eq!(value_of(&arguments, "--peers")?, peers.join(","));
        assert_eq!(value_of(&arguments, "--rpc")?, format!("0.0.0.0:{rpc}"));
        assert_eq!(value_of(&arguments, "--listen")?, format!("0.0.0.0:{rest}"));
    }
    let defaults = deployment::effective_options(None)?;
    assert_eq!(
        (rpc.to_string(), rest.to_string()),
        (defaults["jobmanager.rpc.port"].clone(), defaults["rest.port"].clone())
    );
    // A member is looked for before it is ready, and none waits for another to start.
    let spec = set.spec.as_ref().context("spec")?;
    assert_eq!(spec.pod_management_policy.as_deref(), Some("Parallel"));
    let service =
        manifests.service(spec.service_name.as_deref().context("a service")?)?.spec.as_ref().context("spec")?;
    assert_eq!(service.cluster_ip.as_deref(), Some("None"));
    assert_eq!(service.publish_not_ready_addresses, Some(true));
    Ok(())
}

#[test]
fn task_managers_find_all_job_managers() -> Result<()> {
    let manifests = Manifests::read()?;
    let [managers, workers] = manifests.pods()?;
    let rpc = ports(container(managers)?)["rpc"];
    let container = container(workers)?;
    let arguments = arguments_of_task_manager(container)?;
    deployment::check_arguments(&arguments)?;
    assert_eq!(arguments[0], "taskmanager");
    let known: Vec<String> =
        members(manifests.job_managers()?)?.iter().map(|(_, host)| format!("{host}:{rpc}")).collect();
    assert_eq!(value_of(&arguments, "--jobmanager")?, known.join(","));
    assert_eq!(value_of(&arguments, "--listen")?, format!("10.1.2.3:{}", ports(container)["data"]));
    Ok(())
}

#[test]
fn services_policies_and_budgets_meet_the_pods() -> Result<()> {
    let manifests = Manifests::read()?;
    let [managers, workers] = manifests.pods()?;
    for service in &manifests.services {
        let spec = service.spec.as_ref().context("spec")?;
        assert!(selects(spec.selector.as_ref(), &labels(managers)));
        assert!(!selects(spec.selector.as_ref(), &labels(workers)));
        for port in spec.ports.iter().flatten() {
            let target = name_of(port.target_port.as_ref().context("a target")?)?;
            assert_eq!(ports(container(managers)?).get(target), Some(&port.port), "{target}");
        }
    }
    let of_pod = |selector: Option<&Labels>| {
        let found: Vec<_> = [managers, workers].into_iter().filter(|pod| selects(selector, &labels(pod))).collect();
        found.first().copied().filter(|_| found.len() == 1).context("a selector of one kind of pods")
    };
    let mut guarded = BTreeSet::new();
    for budget in &manifests.budgets {
        let spec = budget.spec.as_ref().context("spec")?;
        let selector = spec.selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
        guarded.insert(container(of_pod(selector)?)?.name.clone());
        assert_eq!(spec.max_unavailable, Some(IntOrString::Int(1)));
    }
    assert_eq!(guarded.len(), 2, "both kinds of pods have a budget");
    for policy in &manifests.policies {
        let spec = policy.spec.as_ref().context("spec")?;
        let selector = spec.pod_selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
        let known = ports(container(of_pod(selector)?)?);
        let named: Vec<&IntOrString> = spec
            .ingress
            .iter()
            .flatten()
            .flat_map(|rule| rule.ports.iter().flatten())
            .filter_map(|port| port.port.as_ref())
            .collect();
        let named: BTreeSet<&str> = named.into_iter().map(name_of).collect::<Result<_>>()?;
        assert_eq!(named, known.keys().copied().collect(), "every port is named, and no other");
    }
    let sets = [
        manifests.job_managers()?.spec.as_ref().map(|spec| &spec.selector),
        manifests.task_managers()?.spec.as_ref().map(|spec| &spec.selector),
    ];
    for (selector, pod) in sets.into_iter().zip([managers, workers]) {
        assert!(selects(selector.and_then(|selector| selector.match_labels.as_ref()), &labels(pod)));
    }
    Ok(())
}

fn probes(container: &Container) -> Result<Vec<&Probe>> {
    let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
    let found: Vec<&Probe> = probes.into_iter().flatten().collect();
    ensure!(found.len() == 3, "{} has {} probes", container.name, found.len());
    Ok(found)
}

#[tokio::test]
async fn probes_ask_what_is_there() -> Result<()> {
    let manifests = Manifests::read()?;
    let mut paths = BTreeSet::new();
    for pod in manifests.pods()? {
        let container = container(pod)?;
        let known = ports(container);
        for probe in probes(container)? {
            let port = match (&probe.http_get, &probe.tcp_socket) {
                (Some(get), None) => {
                    paths.insert(get.path.clone().context("a path")?);
                    &get.port
                }
                (None, Some(socket)) => &socket.port,
                _ => bail!("{}: a probe asks by HTTP or TCP", container.name),
            };
            assert!(known.contains_key(name_of(port)?), "{}: {port:?}", container.name);
        }
    }
    assert_eq!(paths, BTreeSet::from(["/overview".to_owned()]));
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    for path in paths {
        let answer = reqwest::get(format!("http://{}{path}", cluster.address())).await?;
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
    Ok(())
}

#[test]
fn pods_may_do_little_and_write_where_they_are_let() -> Result<()> {
    let manifests = Manifests::read()?;
    let claims: BTreeSet<&str> = manifests.claims.iter().filter_map(|claim| claim.metadata.name.as_deref()).collect();
    for pod in manifests.pods()? {
        let spec = pod.spec.as_ref().context("spec")?;
        assert_eq!(spec.automount_service_account_token, Some(false));
        let of_pod = spec.security_context.as_ref().context("a security context")?;
        assert_eq!(of_pod.run_as_non_root, Some(true));
        assert_eq!(of_pod.seccomp_profile.as_ref().map(|profile| profile.type_.as_str()), Some("RuntimeDefault"));
        let container = container(pod)?;
        let own = container.security_context.as_ref().context("a security context")?;
        assert_eq!((own.read_only_root_filesystem, own.allow_privilege_escalation), (Some(true), Some(false)));
        let dropped = own.capabilities.as_ref().and_then(|capabilities| capabilities.drop.clone());
        assert_eq!(dropped, Some(vec!["ALL".to_owned()]));
        let resources = container.resources.as_ref().context("resources")?;
        assert!(resources.limits.as_ref().is_some_and(|limits| limits.contains_key("memory")));
        assert!(resources.requests.as_ref().is_some_and(|requests| requests.contains_key("cpu")));

        for volume in spec.volumes.iter().flatten() {
            if let Some(claim) = &volume.persistent_volume_claim {
                assert!(claims.contains(claim.claim_name.as_str()), "{}", claim.claim_name);
            }
        }
        let templates = manifests.job_managers()?.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_ref());
        let templates = templates.into_iter().flatten().filter_map(|claim| claim.metadata.name.as_deref());
        let volumes: BTreeSet<&str> =
            spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).chain(templates).collect();
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        assert!(mounts.iter().all(|mount| volumes.contains(mount.name.as_str())), "{}", container.name);
        let writable: BTreeSet<&str> = mounts
            .iter()
            .filter(|mount| mount.read_only != Some(true))
            .map(|mount| mount.mount_path.as_str())
            .collect();
        let arguments = match container.name.as_str() {
            "jobmanager" => arguments_of_job_manager(container, "millrace-jobmanager-1")?,
            _ => arguments_of_task_manager(container)?,
        };
        for flag in ["--data-dir", "--file-root"] {
            assert!(writable.contains(value_of(&arguments, flag)?), "{}: {flag} in {writable:?}", container.name);
        }
        assert!(writable.contains("/tmp"), "temporary files have a place");
    }
    Ok(())
}

#[test]
fn the_configuration_has_options_alone_and_names_the_shared_folder() -> Result<()> {
    let manifests = Manifests::read()?;
    let map = manifests.config_maps.first().context("a ConfigMap")?;
    let files = map.data.as_ref().context("data")?;
    let [(file, text)] = files.iter().collect::<Vec<_>>()[..] else { bail!("one file") };
    let options = deployment::effective_options(Some(text))?;
    for pod in manifests.pods()? {
        let container = container(pod)?;
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        let at = |name: &str| mounts.iter().find(|mount| mount.name == name).map(|mount| mount.mount_path.clone());
        let shared = at("shared").context("the shared volume")?;
        assert!(options["high-availability.storageDir"].starts_with(&format!("{shared}/")));
        let read = container.env.iter().flatten().find(|variable| variable.name == "MILLRACE_CONFIG");
        let path = at("configuration").map(|folder| format!("{folder}/{file}"));
        assert_eq!(read.and_then(|variable| variable.value.clone()), path, "{}", container.name);
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        let named = volumes.into_iter().flatten().find_map(|volume| volume.config_map.as_ref());
        assert_eq!(named.map(|named| named.name.as_str()), map.metadata.name.as_deref());
    }
    Ok(())
}
