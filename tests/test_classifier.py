"""The classifier: fitted, judged and asked in scikit-learn's manner, with frozen tensors proven."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import budwood as bw
from budwood.classifier import Classifier
from budwood.data.splits import Split
from budwood.errors import (
    CapsuleError,
    ConfigError,
    CutError,
    DataError,
    EngineError,
    FrozenChanged,
    ImageError,
)
from budwood.features.engines import EngineSpec, preferred_specs
from budwood.images.preprocessing import Preprocessing
from budwood.learning.fitting import Fit
from budwood.learning.training import Training
from budwood.models.info import info, set_info
from budwood.reporter import Reporter

CLASSES = ("blue", "green", "red")


@pytest.fixture(autouse=True)
def torch_engine(monkeypatch):
    """Trunks run in fp32 torch only: exact, and quick to build."""
    specs = [EngineSpec("torch", "fp32")]
    monkeypatch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: specs)


@pytest.fixture
def images(tmp_path):
    """`images(n)`: a split of n noisy pictures, each of the colour that its class is called."""

    def draw(count=12, seed=0, classes=CLASSES, suffix="png"):
        random = np.random.default_rng(seed)
        paths, labels = [], [i % len(classes) for i in range(count)]
        for i, label in enumerate(labels):
            picture = random.integers(0, 120, (40, 52, 3))
            picture[..., 2 - label % 3] += 100
            paths.append(tmp_path / f"{seed}-{i}.{suffix}")
            Image.fromarray(picture.astype(np.uint8)).save(paths[-1])
        return Split("train", tuple(paths), tuple(labels), classes)

    return draw


class Elsewhere(nn.Module):
    """A small network that somebody else wrote."""

    def __init__(self, classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, classes)
        pixels = Preprocessing(size=(32, 32), resize=32, mean=(0.5,) * 3, std=(0.5,) * 3)
        set_info(self, preprocessing=pixels)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


def elsewhere(classes=3):
    torch.manual_seed(0)
    return bw.unfreeze(bw.freeze(Elsewhere(classes), "*"), "head").eval()


def built(*trained, head="linear", classes=CLASSES, size=48, name="timm/test_resnet", **options):
    network = bw.build(name, weights="none", classes=classes, head=head, **options)
    set_info(network, preprocessing=info(network).preprocessing.at_size(size))
    return bw.unfreeze(bw.freeze(network, "*"), *(trained or ("fc",)))


# Fitting and judging


def test_a_linear_head_is_solved_and_separable_photos_are_told_apart(images):
    model = Classifier(built())
    assert model.fit(images(30)) is model
    assert model.fit_.probe is not None
    assert model.fit_.history == ()
    assert model.fit_.train_top1 == 1.0
    assert model.score(images(15, seed=1)) > 0.95


def test_another_head_is_trained_and_says_how(images):
    told = []
    training = Training(epochs=3, lr=0.01, batch_size=8)
    model = Classifier(built(head="mlp:8"), training=training, reporter=Reporter(epoch=told.append))
    model.fit(images(12))
    assert model.fit_.probe is None
    assert list(model.fit_.history) == told
    assert len(told) == 3


def test_a_linear_head_is_trained_if_that_is_asked_for(images):
    model = Classifier(built(), training=Training(epochs=2)).fit(images())
    assert len(model.fit_.history) == 2


def test_the_algorithm_is_asked_for_by_name(images):
    model = Classifier(built(), algorithm="sgd", training=Training(epochs=1))
    assert model.get_params()["algorithm"] == "sgd"
    assert model.plan.layer is None
    assert Classifier(built(), algorithm="sgd").plan.layer is None
    assert Classifier(built(), algorithm="logistic").plan.layer is not None
    with pytest.raises(ConfigError, match=r"`training` has no effect .*algorithm='sgd'"):
        Classifier(built(), algorithm="logistic", training=Training()).fit(images())
    with pytest.raises(ConfigError, match="fits one linear layer, and more than that trains"):
        Classifier(built(head="mlp:4"), algorithm="logistic").fit(images())
    with pytest.raises(ConfigError, match="called 'adam'"):
        Classifier(built(), algorithm="adam").fit(images())


def test_a_head_that_cannot_be_solved_is_trained_by_default(images):
    model = Classifier(built(head="mlp:4")).fit(images(6))
    assert len(model.fit_.history) == Training().epochs


def test_the_fit_says_what_it_did(images):
    split = images(9)
    model = Classifier(built())
    assert model.fit_ is None
    fit = model.fit(split).fit_
    assert isinstance(fit, Fit)
    assert (fit.images, fit.frozen_unchanged) == (9, True)
    assert fit.seconds > 0
    turned = Split("x", split.paths[::-1], split.labels[::-1], split.classes)
    assert model.fit(turned).fit_.fingerprint == fit.fingerprint
    other = Split("x", split.paths, split.labels[1:] + split.labels[:1], split.classes)
    assert model.fit(other).fit_.fingerprint != fit.fingerprint


def test_the_same_seed_gives_the_same_bits(images):
    split, training = images(), Training(epochs=2, batch_size=4)
    models = [Classifier(built("layer4", "fc"), training=training).fit(split) for _ in range(2)]
    one, two = (model.network_.state_dict() for model in models)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_paths_with_labels_do_as_well_as_a_split(images):
    split = images()
    names = [CLASSES[label] for label in split.labels]
    one = Classifier(built()).fit(split)
    two = Classifier(built()).fit([str(path) for path in split.paths], np.array(names))
    assert torch.equal(one.network_.fc.weight, two.network_.fc.weight)
    assert one.score(split) == two.score(list(split.paths), names)


def test_photos_that_cannot_be_told_apart_are_judged_all_the_same(images):
    split = images(6)
    evaluation = Classifier(built()).fit(split).evaluate(split)
    assert evaluation.images == 6
    assert [result.name for result in evaluation.classes] == list(CLASSES)


def test_a_split_need_not_have_photos_of_every_class_to_be_judged(images):
    model = Classifier(built()).fit(images())
    split = images(4, seed=2)
    part = Split("test", split.paths[1:2], split.labels[1:2], CLASSES)
    assert model.evaluate(part).images == 1


def test_validation_photos_steer_early_stopping(images):
    training = Training(epochs=30, lr=0.05, patience=1)
    model = Classifier(built(head="mlp:8"), training=training)
    val = images(6, seed=3)
    history = model.fit(images(), val=val).fit_.history
    assert {"val_loss", "val_top1", "best"} <= set(history[0])
    best = min(row["val_loss"] for row in history)
    logits = torch.from_numpy(model.answers(val.paths).logits)
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(val.targets))
    assert float(loss) == pytest.approx(best, rel=1e-5)


def test_the_loss_of_an_evaluation_is_that_of_its_calibrated_probabilities(images):
    model = Classifier(built(head="mlp:8"), training=Training(epochs=3)).fit(images(30))
    split = images(6, seed=3)
    assert model.temperature != 1
    own = model.predict_proba(split.paths)[np.arange(6), split.targets]
    assert model.evaluate(split).loss == pytest.approx(-np.log(own).mean(), rel=1e-5)


def test_patience_without_validation_photos_is_an_error(images):
    model = Classifier(built(), training=Training(patience=2))
    with pytest.raises(ConfigError, match="patience needs validation photos"):
        model.fit(images())


def test_a_second_head_on_the_same_photos_computes_nothing(images):
    split = images()
    Classifier(built()).fit(split)
    other = Classifier(built(head="mlp:8"), training=Training(epochs=1)).fit(split)
    gathered = other.gather(split.paths)
    assert (gathered.hits, gathered.misses) == (12, 0)
    notes = []
    third = Classifier(built(classes=("a", "b", "c")), reporter=Reporter(note=notes.append))
    third.fit(Split("x", split.paths, split.labels, ("a", "b", "c")))
    assert not any("through the trunk" in note for note in notes)


def test_a_network_that_is_edited_after_a_fit_is_cut_anew(images):
    split = images()
    model = Classifier(built()).fit(split)
    bw.replace_head(model.network, CLASSES, head="mlp:8")
    model.training = Training(epochs=1)
    model.fit(split)
    assert not torch.equal(model.network_.fc[0].weight, model.network.fc[0].weight)
    bw.unfreeze(model.network, "layer4")
    model.fit(split)
    layer, before = (n.layer4[0].conv1.weight for n in (model.network_, model.network))
    assert not torch.equal(layer, before)
    with torch.no_grad():
        model.network_.fc[-1].bias += torch.tensor([0.0, 0.0, 1e6])
    assert set(model.predict(split)) == {CLASSES[2]}


def test_googlenet_trains_its_auxiliary_heads_and_predicts_with_the_main_one(images):
    trained = ("fc", "aux1.fc2", "aux2.fc2")
    network = built(*trained, name="googlenet", size=64, aux_heads=True)
    model = Classifier(network, training=Training(epochs=1)).fit(images(6))
    assert model.plan.frontier.count("1024") == 3
    for name in trained:
        layer, before = (n.get_submodule(name).weight for n in (model.network_, network))
        assert not torch.equal(layer, before)
    assert model.predict_proba(images(2, seed=1)).shape == (2, 3)


def test_nothing_frozen_trains_the_whole_network(images):
    network = bw.unfreeze(elsewhere(), "*")
    model = Classifier(network, training=Training(epochs=1)).fit(images(6))
    assert not torch.equal(model.network_.body[0].weight, network.body[0].weight)


def test_everything_frozen_is_an_error(images):
    with pytest.raises(CutError, match="Unfreeze at least the head"):
        Classifier(bw.freeze(built(), "*")).fit(images())


# Modes


@pytest.mark.parametrize("training", [None, Training(epochs=1)])
def test_every_network_is_in_eval_mode_after_a_fit(training, images):
    network = built("layer4", "fc") if training else built()
    model = Classifier(network.train(), training=training).fit(images(), val=images(3, seed=1))
    assert not any(module.training for module in model.network_.modules())
    assert network.training


def test_a_fit_that_fails_leaves_the_network_in_eval_mode(images):
    def stop(row):
        raise KeyboardInterrupt

    network = built()
    model = Classifier(network, training=Training(epochs=2), reporter=Reporter(epoch=stop))
    with pytest.raises(KeyboardInterrupt):
        model.fit(images())
    assert not any(module.training for module in network.modules())


# Frozen means frozen


def spoiling(change):
    """The training loop, and then a change that it must not make."""

    def train_graft(graft, *arguments):
        from budwood.learning.training import train_graft

        history = train_graft(graft, *arguments)
        change()
        return history

    return train_graft


@pytest.mark.parametrize("name", ["body.0.weight", "body.1.running_mean", "body.1.weight"])
def test_a_loop_that_changes_a_frozen_tensor_is_found_out(name, images, monkeypatch):
    network = elsewhere()
    tensor = network.state_dict()[name]

    def change():
        tensor.view(-1)[-1] += 1e-6

    monkeypatch.setattr("budwood.learning.fitting.train_graft", spoiling(change))
    model = Classifier(network, training=Training(epochs=1))
    with pytest.raises(
        FrozenChanged, match=rf"1 frozen tensors .* first is {name}\. Please report"
    ):
        model.fit(images())
    assert model.fit_ is None


def test_a_loop_that_exchanges_a_frozen_tensor_is_found_out(images, monkeypatch):
    model = Classifier(elsewhere(), training=Training(epochs=1))
    network = model.plan.network

    def change():
        network.body[0].weight = nn.Parameter(network.body[0].weight.detach() * 2)

    monkeypatch.setattr("budwood.learning.fitting.train_graft", spoiling(change))
    with pytest.raises(FrozenChanged, match=r"body\.0\.weight"):
        model.fit(images())


@pytest.mark.parametrize("trained", [("fc",), ("layer4", "fc")])
def test_training_leaves_every_frozen_tensor_as_it_was(trained, images):
    network = built(*trained)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    training = Training(epochs=2, lr=0.1, weight_decay=0.5)
    model = Classifier(network, training=training).fit(images())
    after = model.network_.state_dict()
    changed = [name for name, tensor in after.items() if not torch.equal(tensor, before[name])]
    assert changed
    assert all(name.startswith(trained) for name in changed)
    now = network.state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in before.items())
    shared = {tensor.data_ptr() for tensor in now.values()}
    assert {n for n, t in after.items() if t.data_ptr() not in shared} == {
        name for name in after if name.startswith(trained)
    }


# Asking


@pytest.fixture
def fitted(images):
    return Classifier(built()).fit(images(15))


def test_probabilities_have_a_row_a_photo_and_a_column_a_class(fitted, images):
    asked = images(4, seed=5)
    probabilities = fitted.predict_proba(asked.paths)
    assert probabilities.shape == (4, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    best = [CLASSES[i] for i in probabilities.argmax(1)]
    assert fitted.predict(asked.paths).tolist() == best
    assert fitted.predict(asked).tolist() == best


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_files_images_and_arrays_of_the_same_photo_agree(suffix, fitted, images):
    paths = images(3, seed=6, suffix=suffix).paths
    images = [Image.open(path) for path in paths]
    arrays = [np.asarray(image.convert("RGB")) for image in images]
    by_file = fitted.predict_proba(paths)
    np.testing.assert_allclose(fitted.predict_proba(images), by_file, atol=1e-3)
    np.testing.assert_allclose(fitted.predict_proba(arrays), by_file, atol=1e-3)
    np.testing.assert_allclose(fitted.predict_proba(np.stack(arrays)), by_file, atol=1e-3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "I;16", "CMYK"])
def test_images_of_every_mode_are_seen_as_their_files_are(mode, fitted, tmp_path):
    ramp = np.linspace(0, 255, 40 * 50).reshape(40, 50).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(ramp).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(ramp.T.copy()).resize((50, 40)))
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    image.save(path)
    np.testing.assert_allclose(
        fitted.predict_proba([image]), fitted.predict_proba([path]), atol=1e-3
    )


def test_a_sideways_image_is_turned_as_its_file_is(fitted, tmp_path):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :20] = (250, 120, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "photo.png", exif=exif)
    image = Image.open(tmp_path / "photo.png")
    np.testing.assert_allclose(
        fitted.predict_proba([image]), fitted.predict_proba([tmp_path / "photo.png"]), atol=1e-5
    )


def test_predicting_stores_nothing(fitted, images, budwood_home):
    def stored():
        return {p for p in budwood_home.rglob("*") if p.is_file()}

    before = stored()
    fitted.predict(images(3, seed=7).paths)
    assert stored() == before


def test_an_array_is_not_written_to(fitted):
    array = np.full((40, 40, 3), 7, np.uint8)
    array.flags.writeable = False
    fitted.predict([array])
    assert (array == 7).all()


@pytest.mark.parametrize("nothing", [[], (), np.empty((0, 4, 4, 3), np.uint8)])
def test_no_photos_get_no_answers(nothing, fitted):
    assert fitted.predict(nothing).tolist() == []
    assert fitted.predict_proba(nothing).shape == (0, 3)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((4, 4), np.uint8), r"Pass \[photo\]"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\) and type uint8.*height x width x 3, uint8"),
        (np.zeros((4, 4, 3), np.float32), r"\(4, 4, 3\) and type float32.*uint8, RGB"),
        (np.zeros((3, 4, 4), np.uint8), r"height x width x 3"),
        (torch.zeros(3, 4, 4), r"A Tensor is no photo\. It should be a path"),
    ],
)
def test_what_is_no_photo_is_refused(array, text, fitted):
    with pytest.raises(DataError, match=text):
        fitted.predict(array if array.ndim == 2 else [array])


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((2, 7)),
        [Image.new("RGB", (9, 9)), Image.new("RGB", (9, 9))],
    ],
)
def test_photos_with_labels_are_files(pictures, fitted):
    for learn_or_judge in (fitted.fit, fitted.score):
        with pytest.raises(DataError, match=r"Photos with labels are files.*Save images in memory"):
            learn_or_judge(pictures, ["red", "blue"])


def test_a_single_photo_is_no_list(fitted, images):
    path = images(1).paths[0]
    image = Image.new("RGB", (50, 50))
    for given in (path, str(path), image, np.asarray(image)):
        with pytest.raises(DataError, match=r"one photo, not a list\. Pass \[photo\]"):
            fitted.predict(given)


def test_paths_and_images_are_not_mixed(fitted, images):
    path = images(1).paths[0]
    with pytest.raises(DataError, match=r"mixed\. Pass one kind at a time"):
        fitted.predict([path, Image.new("RGB", (50, 50))])


# Broken photos


def test_a_broken_photo_is_named_when_asked(fitted, images, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no photo")
    with pytest.raises(ImageError, match=r"broken\.jpg cannot be read") as caught:
        fitted.predict([*images(2).paths, broken])
    assert caught.value.file == str(broken)
    answers = fitted.answers([broken, *images(2).paths])
    assert answers.logits.shape == (2, 3)
    assert list(answers.unreadable) == [broken]
    assert fitted.answers([broken]).logits.shape == (0, 3)


@pytest.mark.parametrize("job", ["fit", "evaluate", "val"])
def test_a_broken_photo_is_named_when_fitting_and_judging(job, images, tmp_path):
    split, good = images(6), images(6, seed=1)
    model = Classifier(built(), training=Training(epochs=1)).fit(good)
    (split.paths[3]).write_bytes(split.paths[3].read_bytes()[:60])
    jobs = {
        "fit": lambda: model.fit(split),
        "evaluate": lambda: model.evaluate(split),
        "val": lambda: model.fit(good, val=split),
    }
    with pytest.raises(
        ImageError, match=r"the first is .*0-3\.png.*leave_out_unreadable"
    ) as caught:
        jobs[job]()
    assert caught.value.file == str(split.paths[3])


# Classes


def test_classes_are_those_the_network_was_built_for():
    assert Classifier(built(classes=("x", "y"))).class_names == ("x", "y")
    assert Classifier(built(classes=3)).class_names == ("0", "1", "2")


@pytest.mark.parametrize("make", [lambda: built(classes=3), elsewhere])
def test_classes_without_names_are_named_by_the_photos(make, images):
    model = Classifier(make()).fit(images())
    assert model.class_names == CLASSES
    assert set(model.predict(images(6).paths)) <= set(CLASSES)
    with pytest.raises(DataError, match="match the split by name"):
        model.evaluate(images(2, classes=("c", "d", "e")))


def test_photos_of_other_classes_are_refused(images):
    model = Classifier(built())
    with pytest.raises(DataError, match=r"have classes red, green.*has blue, green, red.*Build it"):
        model.fit(images(classes=("red", "green")))
    with pytest.raises(DataError, match="Build it with these classes, or match"):
        model.evaluate(images(classes=CLASSES[::-1]))
    with pytest.raises(DataError, match="Build it with these classes"):
        Classifier(built(), training=Training()).fit(images(), val=images(classes=CLASSES[::-1]))


def test_validation_photos_have_the_classes_of_the_training_photos(images):
    with pytest.raises(DataError, match="Build it with these classes, or match"):
        Classifier(elsewhere(), training=Training()).fit(
            images(), val=images(classes=CLASSES[::-1])
        )


def test_another_number_of_classes_is_refused(images):
    with pytest.raises(DataError, match=r"have 3 classes.*tells 5 apart.*replace_head"):
        Classifier(elsewhere(5)).fit(images())


def test_an_unknown_label_is_refused(images):
    paths = images(3).paths
    with pytest.raises(DataError, match=r"'pink'\. There are blue, green, red"):
        Classifier(built()).fit(paths, ["blue", "pink", "green"])


@pytest.mark.parametrize("labels", [None, ["blue"]])
def test_paths_need_a_class_each(labels, images):
    with pytest.raises(DataError, match="Pass labels, or a Split"):
        Classifier(built()).fit(images(3).paths, labels)


def test_no_photos_cannot_be_learned_or_judged():
    model = Classifier(built())
    for job in (model.fit, model.evaluate, model.score):
        with pytest.raises(DataError, match="Pass at least one of each class"):
            job(Split("none", (), (), CLASSES))


# Networks from elsewhere


def test_a_network_from_elsewhere_works_but_for_saving(images, tmp_path):
    model = Classifier(elsewhere()).fit(images(15))
    assert model.score(images(9, seed=1)) > 0.9
    with pytest.raises(CapsuleError, match=r"this Elsewhere does not.*budwood\.build"):
        model.save(tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


def test_a_network_without_preprocessing_says_what_to_set(images):
    network = elsewhere()
    set_info(network, preprocessing=None)
    with pytest.raises(ConfigError, match=r"budwood\.set_info\(network, preprocessing"):
        Classifier(network).fit(images())


def test_saving_copes_with_an_engine_that_cannot_run_the_network(images, tmp_path, monkeypatch):
    model = Classifier(built())

    def refuse(*arguments):
        raise EngineError("No.")

    bf16 = EngineSpec("openvino", "bf16")
    with monkeypatch.context() as patch:
        patch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: [bf16])
        patch.setattr("budwood.learning.plan.build_engine", refuse)
        path = model.save(tmp_path / "model.safetensors")
    assert bw.load(path).class_names == CLASSES


def test_files_through_this_machines_engine_come_close_to_arrays(images, monkeypatch):
    monkeypatch.setattr("budwood.features.engine_choice.preferred_specs", preferred_specs)
    model = Classifier(built()).fit(images(15))
    asked = images(3, seed=6).paths
    arrays = []
    for path in asked:
        with Image.open(path) as image:
            arrays.append(np.array(image))
    np.testing.assert_allclose(model.predict_proba(arrays), model.predict_proba(asked), atol=0.1)
