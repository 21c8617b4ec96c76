"""Training samples from a server, as from a disk."""

import pytest

from realface.data.datamodule import ReflectanceDataModule
from realface.data.shard_set import open_shards, read_index
from realface.data.verify import verify
from realface.errors import FailureError, InputError
from tests.data.serving import serve

pytestmark = pytest.mark.usefixtures("quick")


def module(shards, **arguments) -> ReflectanceDataModule:
    defaults = {"crop": 16, "workers": 0, "samples_per_epoch": 6}
    data = ReflectanceDataModule(shards, **(defaults | arguments))
    data.prepare_data()
    data.setup("fit")
    return data


def fingerprint(loader) -> list:
    return [(batch["key"], batch["diffuse_albedo"].double().sum().item()) for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_server_gives_what_the_disk_gives(shards, workers):
    here = fingerprint(module(shards).train_dataloader())
    with serve(shards) as server:
        data = module(server.url, workers=workers)
        assert fingerprint(data.train_dataloader()) == here
        assert len(list(data.val_dataloader())) == len(list(module(shards).val_dataloader()))
        assert verify(server.url) == []


def asked_for(requests: list) -> int:
    """Bytes of shards in the ranges of requests."""
    spans = [span.removeprefix("bytes=").split("-") for _, _, span in requests if span]
    return sum(int(last) - int(first) + 1 for first, last in spans)


def test_only_the_wanted_maps_travel(shards):
    with serve(shards) as server:
        data = module(server.url, samples_per_epoch=1)
        asked = []
        for kinds in (("specular_albedo", "mask"), read_index(str(shards)).kinds):
            data._kinds = kinds
            before = len(server.requests)
            list(data.train_dataloader())
            asked.append(asked_for(server.requests[before:]))
    # In samples so small all lies within one gap: as many requests, never more bytes.
    assert 0 < asked[0] <= asked[1]


def test_folders_by_a_pattern_and_from_server_and_disk(shards):
    with serve(shards) as server:
        both = open_shards([f"{server.url}/train-{{000000..000001}}.tar", str(shards)])
        there = len(open_shards([str(shards)]).samples("train"))
        assert len(both.samples("train")) == there + 10


@pytest.mark.parametrize("fault", ["stall", "drop", "truncate", "damage", 503])
def test_a_server_that_stumbles_disturbs_nobody(shards, fault):
    here = fingerprint(module(shards).train_dataloader())
    with serve(shards) as server:
        data = module(server.url)
        if fault == "damage":  # bytes that arrive are taken as they are: the CRC tells
            server.faults += [fault]
            with pytest.raises(InputError, match="not those that were packed"):
                list(data.train_dataloader())
        else:
            server.faults += [fault] * 2
            assert fingerprint(data.train_dataloader()) == here


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_server_that_is_gone_ends_the_run(shards, workers, on_error):
    with serve(shards) as server:
        data = module(server.url, workers=workers, on_error=on_error)
        batches = iter(data.train_dataloader())
        next(batches)
        server.then = 500
        with pytest.raises(FailureError) as caught:
            list(batches)
    assert server.url in str(caught.value)


def test_a_server_without_ranges_is_refused_and_read_by_way_of_a_cache(shards, tmp_path):
    here = fingerprint(module(shards).train_dataloader())
    with serve(shards, ranges=False) as server:
        with pytest.raises(InputError, match=r"data\.cache"):
            module(server.url)
        data = module(server.url, cache=tmp_path)
        assert fingerprint(data.train_dataloader()) == here
        assert data.validation_count() == module(shards).validation_count()
        asked = len(server.requests)
        again = module(server.url, cache=tmp_path)
        assert fingerprint(again.train_dataloader()) == here
        assert all(not path.endswith(".tar") for _, path, _ in server.requests[asked:])
        one = module(f"{server.url}/train-000000.tar", cache=tmp_path)
        assert len(one._set.samples("train")) == 5
