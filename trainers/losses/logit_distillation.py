"""Class probabilities shall be those of a teacher."""

from jaxtyping import Array, Float, Shaped

from textzoo.trainers.losses.score_distillation import listwise_kl
from textzoo.trainers.ratio import Ratio


def logit_distillation(
    student: Float[Array, "B C"], teacher: Float[Array, "B C"], *, temperature: float = 2.0,
    row_mask: Shaped[Array, "B"] | None = None,
) -> Ratio:  # fmt: skip
    """``mean_i KL(softmax(t_i / T) || softmax(s_i / T)) T^2`` (Hinton et al. 2015, section 2).

    Args:
        student: logits of classes.
        teacher: the teacher's logits of the same classes; no gradient reaches them.
        temperature: T; above 1 lets the small probabilities speak.
        row_mask: False for rows that only fill the batch up.
    """
    return listwise_kl(
        student, teacher, student_temperature=temperature, teacher_temperature=temperature,
        row_mask=row_mask,
    )  # fmt: skip
