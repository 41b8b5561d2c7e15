"""A classifier that several threads use at once, from the first call on."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import budwood as bw
from budwood.capsule.golden import draw_golden_images
from budwood.data.splits import Split
from budwood.features import engine_choice
from budwood.features.openvino import untracked
from budwood.models.info import info, set_info
from budwood.surgery.cutting import cut
from budwood.surgery.tracing import trace
from budwood.threads import one_torch_thread

THREADS = 8
CLASSES = ("dark", "light")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    paths = []
    for i in range(12):
        low = 100 * (i % 2)
        pixels = random.integers(low, low + 150, (40, 40, 3), np.uint8)
        paths.append(folder / f"{i:02}.png")
        Image.fromarray(pixels).save(paths[-1])
    return Split("train", tuple(paths), tuple(i % 2 for i in range(12)), CLASSES)


def network(head="linear"):
    made = bw.build("timm/test_resnet", weights="none", classes=CLASSES, head=head)
    set_info(made, preprocessing=info(made).preprocessing.at_size(48))
    return bw.unfreeze(bw.freeze(made, "*"), "fc")


@pytest.fixture(scope="module")
def capsule(images, tmp_path_factory):
    home = tmp_path_factory.mktemp("home of whoever trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDWOOD_HOME", str(home))
        return bw.Classifier(network()).fit(images).save(home / "m.safetensors")


def at_once(*jobs):
    """The results of jobs that begin together, each in a thread."""
    gate = threading.Barrier(len(jobs))

    def begin(job):
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [done.result() for done in [pool.submit(begin, job) for job in jobs]]


def test_threads_that_ask_first_at_once_get_the_answers_of_one(capsule, images):
    pairs = [(images.paths[i], images.paths[-1 - i]) for i in range(len(images.paths))]
    shared = bw.load(capsule)
    several = at_once(*[lambda: [shared.predict_proba(pair) for pair in pairs]] * THREADS)
    alone = bw.load(capsule)
    expected = np.array([alone.predict_proba(pair) for pair in pairs])
    for answers in several:
        np.testing.assert_allclose(answers, expected, atol=1e-5)
        np.testing.assert_array_equal(answers, several[0])


def test_threads_may_ask_about_images_in_memory(capsule):
    shared = bw.load(capsule)
    images = np.random.default_rng(0).integers(0, 256, (3, 50, 60, 3), np.uint8)
    several = at_once(*[lambda: shared.predict_proba(images)] * 4)
    assert all(np.array_equal(answers, several[0]) for answers in several)


def test_classifiers_are_loaded_and_asked_at_once(capsule, images):
    several = at_once(*[lambda: bw.load(capsule).predict_proba(images.paths[:2])] * 3)
    assert all(np.allclose(answers, several[0], atol=1e-5) for answers in several)


def test_networks_are_built_and_cut_at_once():
    def make():
        made = network()
        return made, cut(made, torch.zeros(1, 3, 48, 48))

    several = at_once(*[make] * 4)
    (first, parts), *others = several
    assert parts.opaque == {}
    for other, its_parts in others:
        assert its_parts.frontier == parts.frontier
        assert its_parts.opaque == {}
        for one, same in zip(first.parameters(), other.parameters(), strict=True):
            assert torch.equal(one, same)


def test_one_fits_while_others_predict_and_load(capsule, images):
    busy = bw.load(capsule)
    before = busy.predict_proba(images.paths)
    learner = bw.Classifier(network("mlp:8"), training=bw.Training(epochs=8, batch_size=4))
    done = threading.Event()

    def fit():
        try:
            return learner.fit(images)
        finally:
            done.set()

    def ask():
        answers = [busy.predict_proba(images.paths)]
        while not done.is_set():
            answers.append(bw.load(capsule).predict_proba(images.paths))
        return answers

    _, answers = at_once(fit, ask)
    for each in answers:
        np.testing.assert_allclose(each, before, atol=1e-5)
    assert learner.fit_.images == len(images.paths)


def test_who_asks_while_it_is_fitted_anew_gets_the_answers_of_before_or_after(capsule, images):
    model = bw.load(capsule)
    before = model.predict_proba(images.paths)
    turned = Split("train", images.paths, tuple(1 - n for n in images.labels), CLASSES)
    done = threading.Event()

    def fit():
        try:
            model.fit(turned)
        finally:
            done.set()

    def ask():
        answers = []
        while not done.is_set():
            answers.append(model.predict_proba(images.paths))
        return answers

    _, answers = at_once(fit, ask)
    after = model.predict_proba(images.paths)
    assert not np.allclose(before, after, atol=0.1)
    for each in answers:
        assert np.allclose(each, before, atol=1e-4) or np.allclose(each, after, atol=1e-4)


class Waits(nn.Module):
    """Lets another thread in while it is traced."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.reached, self.go_on = None, None

    def __deepcopy__(self, memo):
        return self

    def forward(self, x):
        self.reached.set()
        assert self.go_on.wait(20)
        return self.layer(x).relu()


def test_modules_run_as_usual_while_another_thread_traces_them():
    net, other = Waits(), nn.Sequential(nn.Linear(4, 2))
    net.reached, net.go_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        tracing = pool.submit(trace, net)
        assert net.reached.wait(20)
        batch = torch.ones(3, 4)
        try:
            assert isinstance(other(batch), torch.Tensor)
            assert isinstance(net.layer.weight, nn.Parameter)
            assert isinstance(net.layer(batch), torch.Tensor)
        finally:
            net.go_on.set()
        assert [node.op for node in tracing.result().graph.nodes].count("call_module") == 1


class Beside(nn.Sequential):
    """While it is traced for the first time, another thread draws a random number."""

    drawing: threading.Thread | None = None

    def forward(self, x):
        if Beside.drawing is None:
            Beside.drawing = threading.Thread(target=torch.rand, args=(1,))
            Beside.drawing.start()
            Beside.drawing.join()
        return super().forward(x)


def test_random_numbers_of_other_threads_are_not_taken_for_the_networks():
    done = threading.Event()
    server = threading.Thread(target=done.wait)
    server.start()
    try:
        assert trace(nn.Sequential(Beside(nn.Linear(4, 2)))).opaque == {}
    finally:
        done.set()
        server.join()


def test_leaving_in_another_order_gives_torch_its_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = one_torch_thread(), one_torch_thread()
        first.__enter__()
        second.__enter__()
        assert torch.get_num_threads() == 1
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_absence_of_a_module_ends_for_all_threads():
    def look():
        for _ in range(200):
            with untracked():
                pass

    at_once(*[look] * 4)


def test_an_engine_is_judged_by_the_same_pictures_whoever_asks_first(capsule, images, monkeypatch):
    probes = []
    real = engine_choice.verified_engine
    monkeypatch.setattr(
        engine_choice,
        "verified_engine",
        lambda *given: probes.append(given[2]) or real(*given),
    )
    for part, home in ((images.paths[:1], "a"), (images.paths, "b")):
        monkeypatch.setenv("BUDWOOD_HOME", str(capsule.parent / home))
        bw.load(capsule).predict(part)
    one, other = probes
    np.testing.assert_array_equal(one, other)
    assert len(one) == len(draw_golden_images())
