import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lilliput.core import Artifact, Measurement, RegistryError, Step
from lilliput.registry import Store, work_key


def artifact(folder, content=b"weights", name="model.onnx"):
    path = Path(folder) / name
    path.write_bytes(content)
    return Artifact.of(path, "onnx", (Step("PruneChannels", {"ratio": 0.5}, 1.5, "prune"),))


def number(quantity, value):
    return Measurement(
        quantity, value, "B", "measured", "x86-64, 1 thread", 3, value - 1, value + 1
    )


def add(store, folder, key="k", content=b"weights", **more):
    made = artifact(folder, content, f"{key}.onnx")
    settings = {"name": "int8", "target": "cpu", "measurements": (number("size", 7.0),), **more}
    return store.add(key=key, artifact=made, **settings)


def listed(folder):
    return [v.name for v in Store(folder).family()]


def test_what_was_added_comes_back_equal_in_another_store(tmp_path):
    details = {"layers": [{"name": "conv", "macs": 3}]}
    store = Store(tmp_path / "run")
    added = add(store, tmp_path, recipe="[[pass]]", parent="p", seed=3, details=details)
    again = Store(tmp_path / "run").find("k")
    assert again == added
    assert again.value("size") == 7.0
    assert again.measurement("size").low == 6.0
    assert again.artifact.history == (Step("PruneChannels", {"ratio": 0.5}, 1.5, "prune"),)
    assert again.artifact.path.read_bytes() == b"weights"
    assert (again.recipe, again.parent, again.seed, again.details) == ("[[pass]]", "p", 3, details)


def test_a_zip_keeps_the_suffix_that_says_what_is_in_it(tmp_path):
    made = artifact(tmp_path, name="model.mlpackage.zip")
    added = Store(tmp_path / "run").add(
        key="k", artifact=made, name="int8", target="coreml", measurements=(number("size", 7.0),)
    )
    assert added.artifact.path.name == f"{made.sha256}.mlpackage.zip"
    assert added.artifact.path.read_bytes() == b"weights"


def test_the_same_key_gives_the_variant_that_is_there(tmp_path):
    store = Store(tmp_path / "run")
    first = add(store, tmp_path)
    assert add(store, tmp_path, content=b"other", name="other") == first
    assert len(store.family()) == 1


def test_ids_depend_on_the_work_alone(tmp_path):
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    assert add(one, tmp_path, "a").id == add(two, tmp_path, "a").id != add(one, tmp_path, "b").id


def test_keys_differ_where_anything_of_the_work_does():
    keys = {
        work_key(*facts)
        for facts in [
            ("r", "f", 0, "t"),
            ("rf", "", 0, "t"),
            ("r", "f", 1, "t"),
            ("r", "f", 0, "u"),
        ]
    }
    assert len(keys) == 4


def test_update_adds_measurements_and_replaces_those_of_the_same_quantity(tmp_path):
    store = Store(tmp_path / "run")
    added = add(store, tmp_path)
    store.update(added.id, [number("size", 8.0), number("test_metric", 0.5)])
    found = store.find("k")
    assert (found.value("size"), found.value("test_metric")) == (8.0, 0.5)
    with pytest.raises(RegistryError, match=r"no variant 'nobody'"):
        store.update("nobody", [])


def test_notes_and_skips_are_kept_and_the_latest_counts(tmp_path):
    store = Store(tmp_path / "run")
    store.note("task", "digits")
    store.note("higher_is_better", False)
    store.note("budget", {"size": 1.0})
    store.note("budget", {"size": 2.0})
    store.skip("int8", "cpu", "no time")
    store.skip("int8", "cpu", "too large")
    family = Store(tmp_path / "run").family()
    assert (family.task, family.higher_is_better) == ("digits", False)
    assert family.notes["budget"] == {"size": 2.0}
    assert [s.reason for s in family.skipped] == ["too large"]
    add(store, tmp_path)
    assert store.family().skipped == ()


def test_the_family_is_in_the_order_of_making(tmp_path):
    store = Store(tmp_path / "run")
    for key in "cab":
        add(store, tmp_path, key, name=key)
    assert listed(tmp_path / "run") == ["c", "a", "b"]


@pytest.mark.parametrize("damage", ["changed", "cut short", "gone"])
def test_a_damaged_file_is_set_aside_and_its_work_counts_as_undone(tmp_path, damage):
    store = Store(tmp_path / "run")
    path = add(store, tmp_path).artifact.path
    add(store, tmp_path, "whole", b"whole", name="whole")
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"Weights" if damage == "changed" else b"wei")
    again = Store(tmp_path / "run")
    assert again.find("k") is None
    assert [v.name for v in again.family()] == ["whole"]
    assert len(again.repairs) == 1
    assert "'int8' for cpu is" in again.repairs[0]
    assert (tmp_path / "run/quarantine" / path.name).exists() == (damage != "gone")
    assert add(again, tmp_path).artifact.path.read_bytes() == b"weights"
    assert Store(tmp_path / "run").repairs == ()


def test_a_file_that_changed_since_it_was_measured_is_refused(tmp_path):
    made = artifact(tmp_path)
    made.path.write_bytes(b"changed")
    store = Store(tmp_path / "run")
    with pytest.raises(RegistryError, match=r"has changed since it was made"):
        store.add(key="k", name="n", target="t", artifact=made)
    assert listed(tmp_path / "run") == []
    assert list((tmp_path / "run/blobs").iterdir()) == []


def test_a_full_disk_says_what_was_written_where_and_what_is_free(tmp_path, monkeypatch):
    store = Store(tmp_path / "run")
    add(store, tmp_path, "before")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RegistryError, match=r"k\.onnx to .*blobs: No space.*bytes are free"):
            add(store, tmp_path, "k")
    assert [path.suffix for path in (tmp_path / "run/blobs").iterdir()] == [".onnx"]
    assert len(Store(tmp_path / "run").family()) == 1


def test_a_registry_of_a_newer_version_is_refused_with_both_versions(tmp_path):
    Store(tmp_path)
    with sqlite3.connect(tmp_path / "registry.db") as database:
        database.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
        database.execute("UPDATE meta SET value = '7.5' WHERE name = 'lilliput'")
    database.close()
    with pytest.raises(
        RegistryError, match=r"lilliput 7\.5 \(schema 99\).*reads schema 1.*upgrade"
    ):
        Store(tmp_path)


def test_what_is_no_registry_is_refused(tmp_path):
    with pytest.raises(RegistryError, match=r"holds no run"):
        Store(tmp_path, must_exist=True)
    (tmp_path / "registry.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(RegistryError, match=r"registry\.db cannot be read"):
        Store(tmp_path)
    (tmp_path / "registry.db").unlink()
    with sqlite3.connect(tmp_path / "registry.db") as database:
        database.execute("CREATE TABLE songs (name TEXT)")
    database.close()
    with pytest.raises(RegistryError, match=r"something else"):
        Store(tmp_path)


def test_a_database_by_url_keeps_files_in_the_folder_given(tmp_path):
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    with pytest.raises(RegistryError, match=r"needs a folder"):
        Store(url)
    added = add(Store(url, tmp_path / "files"), tmp_path)
    assert added.artifact.path.parent == tmp_path / "files/blobs"
    assert Store(url, tmp_path / "files").find("k") == added


def test_threads_may_add_at_once(tmp_path):
    Store(tmp_path / "run")

    def work(first):
        store = Store(tmp_path / "run")
        for index in range(first, first + 5):
            add(store, tmp_path, f"{index}", name=f"{index}", content=b"x%d" % index)

    # halves overlap: keys 3 and 4 are made by both
    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(listed(tmp_path / "run")) == [str(index) for index in range(8)]


def test_half_written_files_of_processes_that_are_gone_are_removed_and_others_stay(tmp_path):
    store = Store(tmp_path)
    add(store, tmp_path)
    node = os.uname().nodename
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stray = tmp_path / f"blobs/.{'0' * 64}-{node}-{gone.pid}.partial"
    ours = tmp_path / f"blobs/.{'1' * 64}-{node}-{os.getpid()}.partial"
    for path in (stray, ours):
        path.write_bytes(b"half")
    Store(tmp_path)
    assert (stray.exists(), ours.exists()) == (False, True)


ADD_FOREVER = """
import sys, itertools
from pathlib import Path
from lilliput.core import Artifact
from lilliput.registry import Store
folder = Path(sys.argv[1])
store = Store(folder / "run")
for index in itertools.count():
    path = folder / f"model{index}.onnx"
    path.write_bytes(bytes([index % 256]) * 3_000_000)
    store.add(key=str(index), name=str(index), target="cpu", artifact=Artifact.of(path, "onnx"))
    print(index, flush=True)
"""


def test_a_process_killed_while_it_adds_leaves_all_it_said_it_added_and_nothing_half(tmp_path):
    command = [sys.executable, "-c", ADD_FOREVER, str(tmp_path)]
    adder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = [adder.stdout.readline() for _ in range(3)]
    time.sleep(0.013)
    adder.send_signal(signal.SIGKILL)
    said += adder.stdout.readlines()
    adder.wait()
    adder.stdout.close()
    store = Store(tmp_path / "run")
    names = [v.name for v in store.family()]
    assert store.repairs == ()
    assert names == [str(index) for index in range(len(names))]
    assert len(said) <= len(names) <= len(said) + 1
    assert not list((tmp_path / "run/blobs").glob(".*"))
    assert all(v.artifact.size_bytes == 3_000_000 for v in store.family())


def test_a_reader_leaves_a_damaged_file_out_and_changes_nothing(tmp_path):
    store = Store(tmp_path / "run")
    broken = add(store, tmp_path, name="broken")
    add(store, tmp_path, key="whole", content=b"other weights", name="whole")
    broken.artifact.path.write_bytes(b"half")
    reader = Store(tmp_path / "run", must_exist=True, may_repair=False)
    assert [variant.name for variant in reader.family()] == ["whole"]
    assert "is left out" in reader.repairs[0]
    assert broken.artifact.path.read_bytes() == b"half"
    assert listed(tmp_path / "run") == ["whole"]
    assert not broken.artifact.path.exists()


def test_why_a_variant_was_not_made_is_kept_and_forgotten(tmp_path):
    store = Store(tmp_path / "run")
    store.skip("int8", "cpu", "no operator")
    assert store.reason("int8", "cpu") == "no operator"
    assert not store.reason("int8", "gpu")
    store.forget_skipped()
    assert not store.reason("int8", "cpu")
