"""A session of flink-rest-client, a public client of Flink's REST API, as it comes from the package index.

Usage: rest_session.py HOST PORT BUNDLE FOLDER
Every answer is checked; the first one that is wrong ends the session.
"""

import sys
import time

from flink_rest_client import FlinkRestClient

host, port, bundle, folder = sys.argv[1:]
client = FlinkRestClient.get(host=host, port=int(port))


def wait_for(what, condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def operation(trigger):
    wait_for("an operation", lambda: trigger.status["status"]["id"] == "COMPLETED")
    return trigger.status["operation"]


overview = client.overview()
assert overview["taskmanagers"] == 1 and overview["slots-available"] == overview["slots-total"], overview
assert client.config()["flink-version"].startswith("2."), client.config()
assert client.datasets() == []
assert "rest.port" in client.jobmanager.config()
(log,) = client.jobmanager.logs()
assert client.jobmanager.get_log(log["name"]).count("\n") > 0
(task_manager,) = client.taskmanagers.taskmanager_ids()
assert client.taskmanagers.get(task_manager)["id"] == task_manager
assert client.taskmanagers.get_logs(task_manager)[0]["size"] > 0

jar = client.jars.upload(bundle)["filename"].split("/")[-1]
assert [file["id"] for file in client.jars.all()["files"]] == [jar]
# Its arguments go over as {"--KEY": VALUE}, joined to one text.
arguments = {"query": "wc", "events": 100000000, "rate": 2000, "output": f"{folder}/rows"}
job = client.jars.run(jar, arguments=arguments, parallelism=1)
wait_for("a job that runs", lambda: client.jobs.get(job)["state"] == "RUNNING")
assert job in client.jobs.job_ids() and client.jobs.overview()[0]["jid"] == job
assert client.jobs.get_plan(job)["jid"] == job
assert client.jobs.get_config(job)["execution-config"]["job-parallelism"] == 1
assert client.jobs.get_exceptions(job)["exceptionHistory"]["entries"] == []
assert client.jobs.get_checkpointing_configuration(job)["mode"] == "exactly_once"
vertices = client.jobs.get_vertex_ids(job)
for vertex in (client.jobs.get_vertex(job, vertex) for vertex in vertices):
    assert vertex.details()["parallelism"] == 1
    assert vertex.subtasktimes()["subtasks"][0]["subtask"] == 0
    assert vertex.taskmanagers()["taskmanagers"][0]["taskmanager-id"] == task_manager
    assert vertex.subtasks.get(0)["attempt"] == vertex.subtasks.get_attempt(0, 0)["attempt"] == 0
    assert "numRecordsIn" in vertex.subtasks.metric_names()
    assert vertex.subtasks.accumulators()["subtasks"][0]["subtask"] == 0
    assert vertex.backpressure()["status"] in ("ok", "deprecated")
    vertex.watermarks()
assert client.jobmanager.metrics()["numRunningJobs"] == "1"

wait_for("tasks that run", lambda: all(v["status"] == "RUNNING" for v in client.jobs.get(job)["vertices"]))
saved = operation(client.jobs.create_savepoint(job, f"{folder}/savepoints"))["location"]
(checkpoint,) = client.jobs.get_checkpoint_ids(job)
details = client.jobs.get_checkpoint_details(job, checkpoint, show_subtasks=True)
assert details["external_path"] == saved and set(details["tasks"]) == set(details["subtasks"]) == set(vertices)
stopped = operation(client.jobs.stop(job, f"{folder}/savepoints"))["location"]
wait_for("a job that is stopped", lambda: client.jobs.get(job)["state"] == "FINISHED")

again = client.jars.run(jar, arguments=arguments, parallelism=1, savepoint_path=stopped)
wait_for("a job that runs again", lambda: client.jobs.get(again)["state"] == "RUNNING")
restored = client.jobs.get_checkpoints(again)["latest"]["restored"]
assert restored["is_savepoint"] and restored["external_path"] == stopped, restored
assert client.jobs.terminate(again)
wait_for("a job that is cancelled", lambda: client.jobs.get(again)["state"] == "CANCELED")
try:
    client.jobs.get("f" * 32)
    raise AssertionError("there is no such job")
except Exception as error:
    assert "not found" in str(error), error
assert client.jars.delete(jar)
print("ok")
